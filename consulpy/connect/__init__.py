"""Consul's service mesh: SPIFFE ids, certificates; config entries and discovery chains (docs/wire/connect.md). Pure.

`certificates`, `keys` and `provider_config` need `cryptography`, a costly import: only agents with Connect do it.
"""
