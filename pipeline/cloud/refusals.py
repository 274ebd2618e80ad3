"""What a refusal of the engine means: ask again, ask for less, or give up and say why.

A request can be refused at once (HTTP status) or a task fail hours later (status code of the operation), both
with words that hold more than the code. Codes: google.rpc.Code; words: guides/debugging, guides/usage and
guides/processing_environments, and what issues on GitHub quote of failed exports.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from json import JSONDecodeError
from typing import Any, TypeVar

import ee
from google.auth.exceptions import GoogleAuthError, TransportError
from googleapiclient.errors import HttpError
from httplib2 import HttpLib2Error  # type: ignore[import-untyped]

from pipeline.errors import AuthError, EngineError, GeeSmapError, QuotaError


class Verdict(Enum):
    """What to do about a refusal."""

    SPLIT = "ask for less"
    RETRY = "ask again later"
    FULL = "wait for the queue"
    MISSING = "it is not there"
    AUTH = "sign in"
    RIGHTS = "ask for a right"
    QUOTA = "have less, wait or ask for more"
    FINAL = "mend the request"


_WORDS: tuple[tuple[re.Pattern[str], Verdict], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), verdict)
    for pattern, verdict in (
        (r"too many tasks already in the queue", Verdict.FULL),
        (r"memory limit|out of memory|memory capacity|timed out|deadline exceeded", Verdict.SPLIT),
        (r"too many pixels|export too large|computation is too large|value is too large", Verdict.SPLIT),
        (r"(storage|asset).*quota|quota.*(storage|asset)", Verdict.QUOTA),
        (r"quota.*per (day|month)|(daily|monthly).*(limit|quota)|EECU.*exceeded", Verdict.QUOTA),
        (r"invalid authentication|invalid.credentials|token.*(expired|revoked)|invalid_grant", Verdict.AUTH),
        (r"rate.?limit|too many requests|too many concurrent|capacity exceeded|quota", Verdict.RETRY),
        (r"internal (server )?error|unavailable|try again|please retry|backend error", Verdict.RETRY),
    )
)
_STATUS: Mapping[int, Verdict] = {
    401: Verdict.AUTH,
    403: Verdict.RIGHTS,
    404: Verdict.MISSING,
    408: Verdict.RETRY,
    429: Verdict.RETRY,
}
_CODES: Mapping[int, Verdict] = {  # google.rpc.Code
    4: Verdict.SPLIT,  # DEADLINE_EXCEEDED
    7: Verdict.RIGHTS,  # PERMISSION_DENIED
    8: Verdict.RETRY,  # RESOURCE_EXHAUSTED
    10: Verdict.RETRY,  # ABORTED
    13: Verdict.RETRY,  # INTERNAL
    14: Verdict.RETRY,  # UNAVAILABLE
    16: Verdict.AUTH,  # UNAUTHENTICATED
}
_SERVER_ERROR = 500  # and above
T = TypeVar("T")


@dataclass(frozen=True)
class Refusal:
    """Why the engine did not do something.

    Attributes:
        verdict: what to do about it.
        words: the engine's own.
    """

    verdict: Verdict
    words: str

    @classmethod
    def of_task(cls, error: Mapping[str, Any]) -> Refusal:
        """Why a task failed.

        Args:
            error: of its operation: ``code`` and ``message``.
        """
        words = str(error.get("message", ""))
        return cls(_of_words(words) or _CODES.get(int(error.get("code", 0)), Verdict.FINAL), words)

    @classmethod
    def of_request(cls, error: Exception) -> Refusal:
        """Why a request of the client failed.

        Raises:
            Exception: ``error`` itself, where it is none of the client's.
        """
        words = str(error) or type(error).__name__
        if isinstance(error, TransportError):  # of google-auth: the token's server did not answer
            return cls(Verdict.RETRY, words)
        if isinstance(error, GoogleAuthError):
            return cls(Verdict.AUTH, words)
        if isinstance(error, ee.EEException | HttpError):
            status = _status(error)
            if status is None:  # refused by the client itself
                return cls(Verdict.FINAL, words)
            if status >= _SERVER_ERROR:
                return cls(Verdict.RETRY, words)
            said = _of_words(words) if status not in (401, 404) else None
            return cls(said or _STATUS.get(status, Verdict.FINAL), words)
        if isinstance(error, OSError | HttpLib2Error | JSONDecodeError):  # cut, unreached, half an answer
            return cls(Verdict.RETRY, words)
        raise error

    def error(self, what: str, instead: str) -> GeeSmapError:
        """The refusal as an error that ends a command.

        Args:
            what: did not work, such as "dynamic-2019-04 failed".
            instead: what to type next, unless the refusal itself tells.
        """
        kind, remedy = _REMEDIES.get(self.verdict, (EngineError, instead))
        return kind(f"{what}. Earth Engine answers: {self.words.rstrip('.')}. {remedy}")


_REMEDIES: Mapping[Verdict, tuple[type[GeeSmapError], str]] = {
    Verdict.AUTH: (AuthError, "Sign in again with gee-smap auth, then type the same command: it goes on."),
    Verdict.RIGHTS: (
        AuthError,
        "gee-smap doctor tells which right is missing; have it granted, then type the same command.",
    ),
    Verdict.QUOTA: (
        QuotaError,
        "Free some of it, wait until it is renewed or ask Google for more; the same command then goes on.",
    ),
}


def _of_words(words: str) -> Verdict | None:
    return next((verdict for pattern, verdict in _WORDS if pattern.search(words)), None)


def _status(error: Exception) -> int | None:
    """The HTTP status behind an error; the client keeps it only as the error before its own."""
    found = error if isinstance(error, HttpError) else error.__cause__ or error.__context__
    return int(found.resp.status) if isinstance(found, HttpError) else None


class RefusedError(Exception):
    """Raised by `Patience.ask`: the engine refuses, and asking again does not help."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


@dataclass(frozen=True)
class Patience:
    """How often and how long to ask.

    Attributes:
        first: seconds before the second time.
        longest: seconds between two times, at most.
        limit: seconds after which asking again is given up.
    """

    first: float = 1.0
    longest: float = 30.0
    limit: float = 900.0

    def after(self, delay: float, growth: float = 2.0) -> float:
        """The delay that follows one, in seconds."""
        return min(delay * growth, self.longest)

    def ask(self, request: Callable[[], T], told: Callable[[Refusal], None]) -> T:
        """The answer to a request, asked again as long as that may help.

        Args:
            request: makes it; making it twice must do no harm.
            told: is told of each refusal that is not the last.

        Raises:
            RefusedError: asking again does not help, or did not for ``limit`` seconds.
        """
        began, delay = time.monotonic(), self.first
        while True:
            try:
                return request()
            except Exception as error:
                refusal = Refusal.of_request(error)
                over = time.monotonic() - began + delay > self.limit
                if refusal.verdict is not Verdict.RETRY or over:
                    raise RefusedError(refusal) from error
                told(refusal)
            pause(delay)
            delay = self.after(delay)


def pause(seconds: float) -> None:
    """Wait about so long; those that began together do not ask together again."""
    time.sleep(seconds * random.uniform(0.7, 1.3))  # noqa: S311
