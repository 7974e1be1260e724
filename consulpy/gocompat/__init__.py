"""Behaviour that must equal Go's: regular expressions, durations, times, JSON decoding, flags."""
