"""Models from a table of samples, predictions for one, and what a model has learned."""
