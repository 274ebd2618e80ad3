"""Documented limits of Earth Engine, as named constants, each with where it is documented.

They stand in one place because they move (quota tiers changed in April 2026) and because both sides
need them: what builds requests stays below them, the local engine enforces them.
"""

MAX_PAYLOAD_BYTES = 10 * 1024 * 1024  # guides/usage: request payload size
MAX_PIXEL_BYTES = 48 * 1024 * 1024  # REST projects.image/computePixels: uncompressed, bands x width x height
MAX_PIXEL_SIDE = 32 * 1024  # REST projects.image/computePixels: pixels per dimension
MAX_PIXEL_BANDS = 1024  # REST projects.image/computePixels
MAX_DOWNLOAD_BYTES = 32 * 1024 * 1024  # ee.Image.getDownloadURL
MAX_DOWNLOAD_SIDE = 10_000  # ee.Image.getDownloadURL: pixels per dimension
MAX_ELEMENTS = 5_000  # guides/usage: collection query aborted after accumulating over 5000 elements
MAX_STACKED_BANDS = 5_000  # ImageCollection.toBands: at most so many bands
FEATURES_PER_PAGE = 1_000  # REST projects.table/computeFeatures: largest pageSize
MAX_AGGREGATION_BYTES = 100 * 1024 * 1024  # guides/usage: size of cached values and of results
INTERACTIVE_SECONDS = 5 * 60  # guides/processing_environments
CONCURRENT_REQUESTS = 40  # guides/usage: per project, on each endpoint
PENDING_TASKS = 3_000  # guides/usage: task queue of a project
CONCURRENT_TASKS = 2  # guides/usage: batch tasks at a time, noncommercial projects
EXPORT_MAX_PIXELS = 100_000_000  # apidocs/export-image-tocloudstorage: default maxPixels
SHARD_PIXELS = 256  # apidocs/export-image-tocloudstorage: default shardSize
