"""The RPC methods, one file for each of Consul's nouns."""
