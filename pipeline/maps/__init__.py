"""Daily maps of soil moisture from a cube and a model."""
