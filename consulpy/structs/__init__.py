"""The records that all rooms speak of."""
