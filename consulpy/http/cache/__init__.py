"""Cached responses and grouped blocking queries."""
