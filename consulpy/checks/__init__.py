"""Health checks: one file for each type, and the `runner`, which runs them at their intervals."""
