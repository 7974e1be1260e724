"""From values by key to a `RuntimeConfig`: defaults, -dev, templates, node name, addresses.

Facts of the machine come from a `Host`. Source of rules and error texts: docs/wire/gossip.md 9.6, Consul 1.8.7.
"""

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from consulpy.config import tls_blocks
from consulpy.config.advertise import address_to_advertise
from consulpy.config.host import Host
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.config.sockaddr import NoAddress, render
from consulpy.errors import ConfigError
from consulpy.structs.connect_ca import NAMES_IN_FILE

#: Defaults of -dev; files and flags override them.
DEV: Final[Mapping[str, Any]] = {
    "bind_addr": "127.0.0.1",
    "disable_keyring_file": True,
    "enable_debug": True,
    "log_level": "DEBUG",
    "connect.enabled": True,
    "server": True,
    "ui": True,
    "gossip_lan.gossip_interval": 0.1,
    "gossip_lan.probe_interval": 0.1,
    "gossip_lan.probe_timeout": 0.1,
    "gossip_lan.suspicion_mult": 3,
    "gossip_wan.gossip_interval": 0.1,
    "gossip_wan.probe_interval": 0.1,
    "gossip_wan.probe_timeout": 0.1,
    "gossip_wan.suspicion_mult": 3,
}
_ANY: Final = ("0.0.0.0", "::", "[::]")
#: Placeholder of an address that depends on the host, where the host is not known (`consulpy validate`).
UNKNOWN_ADDRESS: Final = "127.0.0.1"
#: Keys whose value is one address or a template of one.
_ADDRESS_KEYS: Final = (
    "bind_addr",
    "serf_lan",
    "serf_wan",
    "advertise_addr",
    "advertise_addr_ipv4",
    "advertise_addr_ipv6",
    "advertise_addr_wan",
    "advertise_addr_wan_ipv4",
    "advertise_addr_wan_ipv6",
)


def spelling(path: str) -> str:
    """The name of a key in errors, with its flag if it has one."""
    flag = KEYS[path][1].flag
    return f"{path} (-{flag})" if flag else path


def derive(
    values: Mapping[str, Any],
    host: Host,
    *,
    dev_mode: bool = False,
    in_memory: bool = False,
    files: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> RuntimeConfig:
    """The complete configuration, not yet checked by `validate`. Raises `ConfigError`.

    `in_memory`: nothing is stored, as in -dev; the default settings are the usual ones.
    """
    found = {**DEV, **values} if dev_mode else dict(values)
    found = {path: value for path, value in found.items() if value != "" or not path.endswith("tls_min_version")}
    if dev_mode:
        found.pop("data_dir", None)
    one_expected = found.get("bootstrap_expect") == 1 and found.get("server", False)
    _name_and_bootstrap(found, host)
    _addresses(found, host)
    for path, value in found.items():
        if path.startswith("ports."):
            found[path] = max(value, -1)  # as Consul: every number below 1 is off
        elif path.endswith("_max_conns_per_client") or path in ("retry_max", "retry_max_wan"):
            found[path] = max(value, 0)  # likewise: no limit
    if found.get("enable_script_checks"):
        found.setdefault("enable_local_script_checks", True)
    if "recursors" in found:
        found["recursors"] = tuple(dict.fromkeys(found["recursors"]))
    if "connect.ca_config" in found:
        found["connect.ca_config"] = {
            NAMES_IN_FILE.get(name.lower(), name): value for name, value in found["connect.ca_config"].items()
        }
    if found.get("auto_encrypt.allow_tls"):
        found["connect.enabled"] = True
    for path in ("domain", "alt_domain"):
        if found.get(path):
            found[path] = found[path].rstrip(".").lower() + "."
    found["ui_content_path"] = f"/{(found.get('ui_content_path') or 'ui').strip('/')}/"
    found["start_join"], found["start_join_wan"], found["retry_join"], found["retry_join_wan"] = (
        _targets(path, found.get(path, ()), host)
        for path in ("start_join", "start_join_wan", "retry_join", "retry_join_wan")
    )
    expected_one = ["BootstrapExpect is set to 1; this is the same as Bootstrap mode."] if one_expected else []
    notes = [*warnings, *expected_one, *tls_blocks.warnings_of(found)]
    https_tls = tls_blocks.fold(found)
    config: RuntimeConfig = _build(RuntimeConfig, found, ())
    return dataclasses.replace(
        config,
        dev_mode=dev_mode,
        in_memory=in_memory or dev_mode,
        config_files=tuple(files),
        warnings=tuple(notes),
        https_tls=https_tls,
    )


def _name_and_bootstrap(found: dict[str, Any], host: Host) -> None:
    if not found.get("node_name", "").strip():
        found["node_name"] = host.name()
    found["node_name"] = found["node_name"].strip()
    found["datacenter"] = found.get("datacenter", "dc1").lower()
    if found.get("acl_datacenter"):
        found.setdefault("acl.enabled", True)
        found.setdefault("primary_datacenter", found["acl_datacenter"])
    for policy in ("acl.default_policy", "acl.down_policy"):
        if found.get(policy) == "":
            del found[policy]  # the default, as in Consul
    found["primary_datacenter"] = found.get("primary_datacenter", "").lower() or found["datacenter"]
    if found.get("bootstrap_expect") == 1 and found.get("server") and not found.get("bootstrap"):
        # equal to -bootstrap, in Consul's gossip tags too
        found["bootstrap"], found["bootstrap_expect"] = True, 0


def _addresses(found: dict[str, Any], host: Host) -> None:
    for path in _ADDRESS_KEYS:
        if found.get(path):
            found[path] = _one_address(path, found[path], host)
            family = path[-1] if path.endswith(("_ipv4", "_ipv6")) else ""
            if family and (family == "6") != (":" in found[path]):
                raise ConfigError(f"{path} must be an ipv{family} address")
    bind = found.setdefault("bind_addr", "0.0.0.0")
    if not bind:
        raise ConfigError("bind_addr cannot be empty")
    for name in ("client_addr", "addresses.dns", "addresses.http", "addresses.https", "addresses.grpc"):
        if found.get(name):  # an empty client_addr is no address
            found[name] = _many_addresses(name, found[name], host)
    if "client_addr" in found:
        found["client_addr"] = tuple(found["client_addr"].split())
    version = 6 if ":" in bind else 4
    advertise = found.get("advertise_addr") or found.get(f"advertise_addr_ipv{version}")
    if not advertise:
        advertise = bind if bind not in _ANY else _advertised(bind, host)
    found["advertise_addr"] = advertise
    found["advertise_addr_wan"] = (
        found.get("advertise_addr_wan") or found.get(f"advertise_addr_wan_ipv{version}") or advertise
    )
    found["serf_lan"] = found.get("serf_lan") or bind
    found["serf_wan"] = found.get("serf_wan") or bind


def _advertised(bind: str, host: Host) -> str:
    found = host.addresses()
    return UNKNOWN_ADDRESS if found is None else address_to_advertise(bind, found)


def _one_address(path: str, text: str, host: Host) -> str:
    shown = _rendered(path, text, host)
    if " " in shown:
        raise ConfigError(f"{path} cannot contain multiple addresses, but has: {shown}")
    plain = shown.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        raise ConfigError(f"{spelling(path)}: expected an IP address, not {text!r}") from None


def _many_addresses(path: str, text: str, host: Host) -> str:
    shown = _rendered(path, text, host)
    for one in shown.split():
        if one.startswith(("unix://", "/")):
            continue
        try:
            ipaddress.ip_address(one.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ConfigError(f"{spelling(path)}: invalid ip address: {one}") from None
    return " ".join(one.removeprefix("[").removesuffix("]") for one in shown.split())


def _rendered(path: str, text: str, host: Host) -> str:
    found = host.addresses() if "{{" in text else ()
    try:
        shown = render(text, found or ())
    except NoAddress as error:
        if found is None:
            return UNKNOWN_ADDRESS
        raise ConfigError(f"{spelling(path)}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{spelling(path)}: {error}") from None
    if found is None and not shown:
        return UNKNOWN_ADDRESS
    if not shown:
        raise ConfigError(f"{spelling(path)} cannot be empty: no address of this host fits {text!r}")
    return shown


def _targets(path: str, texts: Sequence[str], host: Host) -> tuple[str, ...]:
    """Join addresses with templates evaluated. Raises `ConfigError` for cloud providers."""
    targets: list[str] = []
    for text in texts:
        if "provider=" in text:
            raise ConfigError(
                f"{spelling(path)}: looking for agents at a cloud provider is not supported yet: {text!r}"
            )
        if not text.strip():
            raise ConfigError(f"{spelling(path)}: expected a host, host:port or IP address, not {text!r}")
        targets += _rendered(path, text, host).split() if "{{" in text else [text]
    return tuple(targets)


def _build(schema: type, values: Mapping[str, Any], fields: tuple[str, ...]) -> Any:
    """An instance of `schema` from the values of its keys; blocks are built in the same way."""
    keys, blocks = _layout(schema, fields)
    chosen = {name: values[path] for name, path in keys if path in values}
    for name, block in blocks:
        chosen[name] = _build(block, values, (*fields, name))
    return schema(**chosen)


@cache
def _layout(schema: type, fields: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[tuple[str, type]]]:
    """The keys of a schema, each a field's name and its path, and the schemas of its blocks by name."""
    keys: list[tuple[str, str]] = []
    blocks: dict[str, type] = {}
    for names, key in KEYS.values():
        if names[: len(fields)] != fields:
            continue
        rest = names[len(fields) :]
        if len(rest) > 1:
            blocks.setdefault(rest[0], _schema_of(schema, rest[0]))
        else:
            keys.append((rest[0], key.path))
    return keys, list(blocks.items())


def _schema_of(schema: type, name: str) -> type:
    factory: Any = next(one for one in dataclasses.fields(schema) if one.name == name).default_factory
    return factory  # type: ignore[no-any-return]
