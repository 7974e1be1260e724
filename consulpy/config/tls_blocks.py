"""Conversion of the block `tls` (since Consul 1.12) to the older flat keys.

    tls { defaults { ca_file = "ca.pem" } https { verify_incoming = false } }

Values missing in `internal_rpc` or `https` come from the flat keys of that port alone, then from `defaults`, then from
the other flat keys. Settings of HTTPS that differ from port 8300 are returned beside the flat keys.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Keys that port 8300 and HTTPS may set separately.
_SHARED: Final = ("ca_file", "ca_path", "cert_file", "key_file", "tls_min_version", "tls_cipher_suites")
_FLAT: Final = (*_SHARED, "verify_incoming", "verify_outgoing", "verify_server_hostname")
#: Flat keys of one port, and what they are called in its block.
_OF_PORT: Final = {
    "verify_incoming_rpc": ("internal_rpc", "verify_incoming"),
    "verify_incoming_https": ("https", "verify_incoming"),
    "verify_server_hostname": ("internal_rpc", "verify_server_hostname"),
}
_VERSIONS: Final = {"TLSv1_0": "tls10", "TLSv1_1": "tls11", "TLSv1_2": "tls12", "TLSv1_3": "tls13", "TLS_AUTO": "tls12"}
_DEFAULT: Final = {"tls_min_version": "tls12"}


def warnings_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Warnings for flat keys that the block overrides."""
    for name in _FLAT:
        block = _OF_PORT[name][0] if name in _OF_PORT else ""
        nested = [path for path in found if path.startswith(f"tls.{block}") and path.endswith(f".{name}")]
        if name in found and nested:
            yield f"{name} is given at the top and as {' and '.join(sorted(nested))}: the latter counts"
    for name in ("verify_incoming_rpc", "verify_incoming_https"):
        path = "tls." + ".".join(_OF_PORT[name])
        if name in found and path in found:
            yield f"{name} is given at the top and as {path}: the latter counts"


def fold(found: dict[str, Any]) -> dict[str, str]:
    """Set the flat keys of `found` from the block; the settings that differ for HTTPS, by flat key.

    The flat `tls_min_version` may have the block's names too.
    """
    if "tls_min_version" in found:
        found["tls_min_version"] = _VERSIONS.get(found["tls_min_version"], found["tls_min_version"])
    if not any(path.startswith("tls.") for path in found):
        return {}
    before = dict(found)

    def of(block: str, name: str) -> Any:
        value = before.get(f"tls.{block}.{name}", before.get(f"tls.defaults.{name}"))
        return _VERSIONS.get(str(value), value) if name == "tls_min_version" else value

    overrides = {}
    for name in _SHARED:
        flat = before.get(name, _DEFAULT.get(name, ""))
        rpc, https = (flat if value is None else value for value in (of("internal_rpc", name), of("https", name)))
        found[name] = rpc
        if https != rpc:
            overrides[name] = https
    everywhere = found.pop("verify_incoming", False)
    for path in ("verify_incoming_rpc", "verify_incoming_https"):
        block, name = _OF_PORT[path]
        if path in before and f"tls.{block}.{name}" not in before:
            found[path] = everywhere or before[path]
        else:
            nested = of(block, name)
            found[path] = everywhere if nested is None else nested
    outgoing = of("internal_rpc", "verify_outgoing")
    if outgoing is not None:
        found["verify_outgoing"] = outgoing
    hostname = before.get("tls.internal_rpc.verify_server_hostname", before.get("verify_server_hostname"))
    found["verify_server_hostname"] = (
        before.get("tls.defaults.verify_server_hostname", False) if hostname is None else hostname
    )
    return overrides
