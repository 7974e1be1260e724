"""Server RPC: every read and write goes through a `Caller`."""
