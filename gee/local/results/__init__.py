"""Results as clients receive them: JSON, tables and encoded rasters."""
