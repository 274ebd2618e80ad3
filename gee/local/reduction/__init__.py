"""Reducers: many values into one, for lists, tables, regions and pixels alike."""
