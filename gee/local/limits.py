"""Limits of the local engine's own, which keep one request from taking the machine."""

MAX_EXPRESSION_NODES = 2_000_000
MAX_JSON_DEPTH = 20_000
MAX_SEQUENCE = 10_000_000  # elements of one list
