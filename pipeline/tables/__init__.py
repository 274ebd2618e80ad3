"""Tables of samples, predictions and observations: read, checked and joined."""
