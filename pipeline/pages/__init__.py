"""Maps to look at in a browser and in a notebook."""
