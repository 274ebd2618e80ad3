"""Filters and joins: which elements of a collection belong to a question."""
