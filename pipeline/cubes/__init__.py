"""The exported images of a study as one cube that xarray opens."""
