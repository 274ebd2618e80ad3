"""The nature run: one simulated world that every simulated sensor looks at.

Terrain, soil, land cover, weather, vegetation and soil moisture are functions of place and day, so that
two datasets of the same place agree as they would in nature, and the truth behind them is known.
Nothing in it is an observation: places and climate follow public geography, the rest is seeded noise.
"""
