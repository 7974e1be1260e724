"""The DNS door: names below the domain become RPC reads, their results become records (docs/architecture.md, journey 5)."""
