"""What the workflow has elsewhere: an account, an engine, a bucket, and what they answer."""
