"""Health checks: one file for each type, and the `runner` that makes them at their intervals."""
