"""The one error of the local engine, in the shape Earth Engine's REST API gives errors."""

from __future__ import annotations

from typing import Any

HTTP_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "DEADLINE_EXCEEDED": 504,
}


class EngineError(Exception):
    """What the engine refuses or cannot do, with Earth Engine's wording where that is documented.

    Args:
        message: for the client; names the algorithm and the object.
        status: one of the canonical status names of `HTTP_CODES`.
    """

    def __init__(self, message: str, status: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self._placed = False

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return HTTP_CODES[self.status]

    def within(self, algorithm: str) -> EngineError:
        """The same error, told from inside an algorithm; the innermost one is named."""
        if not self._placed:
            if not self.message.startswith((algorithm, "Algorithm '")):
                self.message = f"{algorithm}: {self.message}"
            self._placed = True
        return self

    def __str__(self) -> str:
        return self.message

    def as_json(self) -> dict[str, Any]:
        """The body of the HTTP response."""
        return {"error": {"code": self.code, "message": self.message, "status": self.status}}
