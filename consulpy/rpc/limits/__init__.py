"""Limits of port 8300: memory, time slices, request rates."""
