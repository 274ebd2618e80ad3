"""Simulated catalogue datasets: pixels and metadata in plain NumPy, unaware of the engine above."""
