"""Every error gee-smap raises on purpose, and the exit code each one means.

A message says what happened, to which object, and what to do or type next; see ``models.errors`` for
the two that the learning half raises itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from gee.errors import GeeError
from models.errors import ModelFileError, SampleError


class GeeSmapError(Exception):
    """Base class; ``exit_code`` 2 is the user's mistake, 1 a failure."""

    exit_code: ClassVar[int] = 1


class ConfigError(GeeSmapError):
    """A study file, a setting or an option is wrong."""

    exit_code = 2


class DataError(GeeSmapError):
    """An input table or file is missing or cannot be used."""

    exit_code = 2


class EngineError(GeeSmapError):
    """Earth Engine refuses a request, or does not answer."""


class AuthError(GeeSmapError):
    """Credentials are missing, expired, or lack a right."""


class QuotaError(GeeSmapError):
    """A quota of Earth Engine or Cloud Storage is used up."""


class StorageError(GeeSmapError):
    """Cloud Storage refuses, does not answer, or holds something else than was written."""


USER_MISTAKES = (SampleError, ModelFileError)
"""Errors of ``models`` that end a command with exit code 2."""


@contextmanager
def of_gee() -> Iterator[None]:
    """Turn the errors of ``gee`` into those that end a command with a message."""
    try:
        yield
    except GeeError as error:
        kind = ConfigError if error.mistake else EngineError
        raise kind(str(error)) from error
