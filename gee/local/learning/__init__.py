"""Classifiers and clusterers: trees from text, and methods trained on samples."""
