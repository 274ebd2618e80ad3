"""Images and their lazy pixels: where, at what scale and from what each pixel is computed."""
