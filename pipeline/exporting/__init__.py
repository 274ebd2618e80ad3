"""The tasks of a plan, submitted and followed until all are done."""
