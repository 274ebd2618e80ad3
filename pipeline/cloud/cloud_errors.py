"""What Cloud Storage, its client and the disk say when something fails, as errors that tell what to do.

The client's own messages quote whole addresses, and that of an upload in progress lets whoever reads it write
to the bucket; so only the server's sentence or the HTTP status is passed on. The second line of a message is
the remedy.
"""

from __future__ import annotations

import errno
import http
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, RetryError, Unauthorized
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from requests import RequestException

from pipeline.errors import AuthError, QuotaError, StorageError

AGAIN = "What was done is kept; type the same command again."
SLOW_DOWN = ("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded")  # reasons of a 403
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def told(what: str, path: Path | None = None) -> Iterator[None]:
    """Turn what fails in the block into this package's errors.

    Args:
        what: is done to, such as ``gs://bucket/object``.
        path: of the file that is read or written meanwhile.
    """
    try:
        yield
    except (TransportError, RequestException, ConnectionError) as error:
        raise _unanswered(what, error) from error
    except GoogleAuthError as error:
        raise _expired(what, str(error.args[0]) if error.args else type(error).__name__) from error
    except Unauthorized as error:
        raise _expired(what, sentence(error)) from error
    except Forbidden as error:
        if _reason(error) in SLOW_DOWN:
            raise _throttled(what, error) from error
        raise AuthError(
            f"{what}: the account in use may not do this. The answer: {sentence(error)}\n"
            "Have the bucket's owner give it the role roles/storage.objectAdmin, or name another bucket in "
            "GEE_SMAP_BUCKET."
        ) from error
    except NotFound as error:
        raise StorageError(
            f"{what} does not exist. The answer: {sentence(error)}\n"
            "Mind the name of the bucket in GEE_SMAP_BUCKET."
        ) from error
    except (GoogleAPIError, InvalidResponse, DataCorruption) as error:
        cause = error.cause if isinstance(error, RetryError) else error
        if _status(cause) == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise _throttled(what, cause) from error
        raise _unanswered(what, cause) from error
    except OSError as error:
        raise disk_error(path or Path(what), error) from error


def disk_error(path: Path, error: OSError) -> StorageError:
    """A file that could not be read or written."""
    if error.errno in FULL:
        return StorageError(
            f"The disk at {_mount(path.parent)} is full: {path} was not written.\n"
            f"Free some space there. {AGAIN}"
        )
    return StorageError(
        f"{path} cannot be read or written: {error.strerror or error}.\n"
        "Choose a work directory of your own on a disk that works."
    )


def sentence(error: Any) -> str:
    """What the answer behind an error says, without its address."""
    if text := _body(error).get("message"):
        return str(text)
    status = _status(error)
    if status is None:
        return f"no answer, or one that broke off ({type(error).__name__})."
    known = status in {one.value for one in http.HTTPStatus}
    return f"{status} {http.HTTPStatus(status).phrase if known else ''}".strip() + "."


def _mount(folder: Path) -> Path:
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if os.path.ismount(place))


def _expired(what: str, said: str) -> AuthError:
    return AuthError(
        f"{what}: the credentials in use are not accepted, or not any more. The answer: {said}\n"
        f"Type: gee-smap auth (or mend the key file that GOOGLE_APPLICATION_CREDENTIALS names). {AGAIN}"
    )


def _throttled(what: str, error: Any) -> QuotaError:
    return QuotaError(
        f"{what}: Cloud Storage takes no more requests for now. The answer: {sentence(error)}\n"
        f"Wait a few minutes. {AGAIN}"
    )


def _unanswered(what: str, error: Any) -> StorageError:
    return StorageError(
        f"{what}: Cloud Storage does not do its part: {sentence(error)}\n"
        f"Look at the connection and at https://status.cloud.google.com. {AGAIN}"
    )


def _status(error: Any) -> int | None:
    response = getattr(error, "response", None)
    status = getattr(error, "code", None) or getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _body(error: Any) -> dict[str, Any]:
    """What an answer in Google's form says of its error."""
    try:
        content = error.response.json()["error"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(error: Any) -> str:
    listed = _body(error).get("errors") or [{}]
    return str(listed[0].get("reason", ""))
