"""Assets: what there is, who may read it, and the files that hold it."""
