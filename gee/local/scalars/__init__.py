"""Numbers, texts, dates and the operations that work element by element."""
