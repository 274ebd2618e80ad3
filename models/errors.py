"""The two mistakes a user of ``models`` can make.

They derive from ``ValueError``, as scikit-learn's conventions ask, and stand here because ``models``
never imports ``pipeline``; the command line turns them into exit code 2 like its own errors.
"""

from __future__ import annotations


class SampleError(ValueError):
    """The table given cannot be learned from or predicted."""


class ModelFileError(ValueError):
    """A model folder is missing, altered, truncated, or from a newer version."""
