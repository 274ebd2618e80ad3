"""What goes wrong between this package and an Earth Engine: no credentials, no answer, a wrong option.

Messages say what happened, to which object, and what to do next; callers map them to exit codes.
"""

from __future__ import annotations

from typing import ClassVar


class GeeError(Exception):
    """Base class; ``mistake`` tells an error of the user's from a failure."""

    mistake: ClassVar[bool] = False


class SettingError(GeeError):
    """An option, a name or a file that was given cannot be used."""

    mistake = True


class CredentialsError(GeeError):
    """There are no credentials, or the engine does not take them."""

    mistake = True


class EngineUnavailableError(GeeError):
    """The engine does not answer, or the local one does not start."""
