"""TLS as in Consul 1.8: which peers must present certificates (docs/wire/rpc.md 1), and the TLS transport."""
