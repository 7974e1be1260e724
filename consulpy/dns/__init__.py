"""The DNS door."""
