"""Scores of predictions and maps: at stations, and against the truth of a simulation."""
