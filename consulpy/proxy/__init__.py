"""The built-in Connect proxy: mutual TLS before a plain TCP program (`consulpy connect proxy`)."""
