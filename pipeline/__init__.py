"""The workflow: the only place that touches files, buckets and the terminal."""
