"""Limits of RPC: memory, time slices, request rates."""
