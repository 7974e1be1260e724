"""Codecs: msgpack as Go writes it, memberlist's LZW, JSON and HCL as Consul reads them."""
