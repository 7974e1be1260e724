"""The kinds of health checks, one file each."""
