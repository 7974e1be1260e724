"""Consul's service mesh: SPIFFE ids, certificates; config entries and discovery chains (docs/wire/connect.md). Pure.

`certificates`, `keys` and `provider_config` need `cryptography`, whose import is costly: only agents with Connect do it.
"""
