"""Configuration: keys, flags, files."""
