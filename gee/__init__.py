"""What runs on Earth Engine: expressions only, no pixels read, no input or output."""
