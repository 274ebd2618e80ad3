"""The work directory of a study: what lies in it, what has been done, and what is being made."""
