"""The REST API: from HTTP requests to values, pixels, assets and tasks."""
