"""The report of a study: one HTML page, and the sentences, tables and figures on it."""
