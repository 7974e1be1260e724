"""The DNS listener: names below the domain become RPC reads, their results records (docs/architecture.md)."""
