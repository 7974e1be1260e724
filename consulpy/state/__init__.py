"""The state store and the log of commands that alone changes it."""
