"""A small client of the HTTP API."""
