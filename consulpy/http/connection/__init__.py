"""HTTP connections: the dispatch of their bytes, and the protocols that carry it out."""
