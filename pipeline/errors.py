"""Every error gee-smap raises on purpose, and the exit code each one means.

A message says what happened, to which object, and what to do or type next; see ``models.errors`` for
the two that the learning half raises itself.
"""

from __future__ import annotations

from typing import ClassVar

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


USER_MISTAKES = (SampleError, ModelFileError)
"""Errors of ``models`` that end a command with exit code 2."""
