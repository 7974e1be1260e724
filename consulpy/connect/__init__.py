"""Consul's service mesh: config entries and discovery chains (docs/wire/discovery-chains.md). Pure."""
