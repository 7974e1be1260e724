"""What must equal Go: regular expressions; durations, times, JSON and flags join them here."""
