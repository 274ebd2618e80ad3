"""An Earth Engine of one's own: the REST API on loopback, over assets, mounts and simulated datasets."""
