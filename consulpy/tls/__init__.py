"""TLS as Consul 1.8 does it: who must show a certificate to whom (docs/wire/rpc.md 1), and its bytes."""
