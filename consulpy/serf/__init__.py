"""Intents, events, queries, tags and coordinates on top of a memberlist."""
