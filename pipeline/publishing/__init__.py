"""Maps as the images of a collection on Earth Engine, and who may read them."""
