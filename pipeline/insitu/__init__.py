"""In-situ soil moisture of others, read as one daily table."""
