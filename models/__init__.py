"""Learning on a table of samples; knows nothing of Earth Engine, files or the terminal."""
