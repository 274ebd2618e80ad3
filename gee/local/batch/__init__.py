"""Batch tasks: exports and ingestions that outlive a request."""
