"""An Earth Engine of one's own: the REST API on loopback, over assets, mounted files and simulated datasets."""
