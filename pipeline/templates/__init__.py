"""The commented study files that a user begins with, and the embedded example.

They are data beside this module, so that they read as what they are; a test loads every one of them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.mistakes import nearest
from pipeline.work.staging import whole

EXAMPLES = ("anhui-2019",)
"""Known studies, by the names of their files without ``.toml``."""
EMBEDDED = "example.toml"
"""The study of `gee-smap run` where none is given."""


def text_of(name: str) -> str:
    """The text of a study file here, by its full name."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def write_template(path: Path, example: str | None = None) -> None:
    """Write a commented study file, whole or not at all.

    Args:
        path: the file to write; its folder must exist.
        example: one of ``EXAMPLES``, or None for a study to fill in.

    Raises:
        ConfigError: no such example, the file is already there, or it cannot be written.
    """
    if example is not None and example not in EXAMPLES:
        raise ConfigError(
            f"no example {example!r}{nearest(example, EXAMPLES)}; allowed: {', '.join(EXAMPLES)}"
        )
    if path.exists():
        raise ConfigError(f"{path} is already there and stays as it is; name another file")
    text = text_of(f"{example or 'study'}.toml")
    try:
        with whole(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder you own"
        ) from error
