"""Failure detection and membership on the wire of hashicorp/memberlist."""
