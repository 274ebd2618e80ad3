"""Limits of the local engine's own, which keep one request from taking the machine."""

MAX_EXPRESSION_NODES = 2_000_000
MAX_JSON_DEPTH = 20_000
MAX_SEQUENCE = 10_000_000  # elements of one list
MAX_TEXT = 10_000_000  # characters of one string
MAX_BANDS = 10_000  # of one image
MAX_TILE_BYTES = 512 << 20  # of the pixels of one band on one tile, which arrays make many
INTERACTIVE_WORK = 2_000_000  # algorithm applications of a request that somebody waits for
BATCH_WORK = 50_000_000  # of a task
ELEMENTS_PER_APPLICATION = 64  # of a list, that take as long as applying an algorithm
