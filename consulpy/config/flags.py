"""The agent's flags, derived from the schema; shared by `consulpy agent` and `twistd consulpy`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.key import Kind
from consulpy.config.schema import KEYS
from consulpy.config.unsupported_keys import HARMLESS, REFUSED
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import parse_duration
from consulpy.gocompat.flag import Flag, FlagSet, pair, switch, whole

_CONVERT: Final[Mapping[Kind, Callable[[str], Any]]] = {
    Kind.TEXT: str,
    Kind.SWITCH: switch,
    Kind.WHOLE: whole,
    Kind.DURATION: parse_duration,
    Kind.TEXTS: str,
    Kind.TEXT_MAP: pair,
}

#: Flags of Consul's agent that are accepted without effect.
_WITHOUT_EFFECT: Final = (
    Flag("primary-gateway", "Address of a mesh gateway in the primary datacenter.", many=True, hidden=True),
    Flag("raft-protocol", "Sets the Raft protocol version. Defaults to latest.", whole, hidden=True),
    Flag("segment", "(Enterprise-only) Sets the network segment to join.", hidden=True),
    Flag("grpc-tls-port", "Sets the gRPC-TLS API port to listen on.", whole, hidden=True),
    Flag("partition", "(Enterprise-only) Sets the admin partition to join.", hidden=True),
    Flag("read-replica", "(Enterprise-only) A server that takes no part in the quorum.", switch, hidden=True),
    Flag("non-voting-server", "(Enterprise-only) A server that takes no part in the quorum.", switch, hidden=True),
)


#: Their values that are equal to what this agent does.
_QUIET: Final[Mapping[str, tuple[object, ...]]] = {
    "raft-protocol": (3,),
    "grpc-tls-port": (-1,),
    "segment": HARMLESS["segment"],
    "partition": HARMLESS["partition"],
}


@dataclass(frozen=True)
class AgentFlags:
    """The parsed command line: `values` by key, and flags that are no keys."""

    values: Mapping[str, Any] = field(default_factory=dict)
    config_paths: tuple[str, ...] = ()
    config_format: str = ""
    fragments: tuple[str, ...] = ()
    dev: bool = False
    warnings: tuple[str, ...] = ()


def agent_flags() -> FlagSet:
    """All flags of `consulpy agent`."""
    flags = FlagSet()
    flags.add(
        "config-file",
        "Path to a file in JSON or HCL format with a matching file extension. Can be specified multiple times.",
        many=True,
    )
    flags.add(
        "config-dir",
        "Path to a directory to read configuration files from. This will read every file ending in '.json' or '.hcl' "
        "as configuration in this directory in alphabetical order. Can be specified multiple times.",
        many=True,
    )
    flags.add(
        "config-format",
        "Config files are in this format irrespective of their extension. Must be 'hcl' or 'json'",
        config_format,
        default="",
        placeholder="string",
    )
    flags.add("dev", "Starts the agent in development mode.", switch, default=False)
    flags.add("hcl", "hcl config fragment. Can be specified multiple times.", many=True)
    for _, key in KEYS.values():
        if key.flag:
            many = key.kind in (Kind.TEXTS, Kind.TEXT_MAP)
            flags.add(key.flag, key.doc, _CONVERT[key.kind], many=many, placeholder=key.placeholder)
    for flag in _WITHOUT_EFFECT:
        flags.flags[flag.name] = flag
    return flags


def config_format(text: str) -> str:
    """ "hcl" or "json"; "": by each file's name. Raises `ValueError`."""
    if text not in ("hcl", "json", ""):
        raise ValueError("expected hcl or json")
    return text


def read_flags(argv: Sequence[str]) -> AgentFlags:
    """Parse the agent's command line. Raises `ConfigError` with the flag's name, `HelpRequested`."""
    flags = agent_flags()
    given, arguments = flags.parse(argv)
    if arguments:
        raise ConfigError(f"Unexpected extra arguments: [{' '.join(arguments)}]")
    for name in ("non-voting-server", "read-replica", "segment", "partition"):
        path = name.replace("-", "_")
        if given[name] and given[name] not in HARMLESS.get(path, ()):
            raise ConfigError(f"-{name}: {REFUSED[path]} not supported yet")
    notes = [
        f"-{flag.name} is not supported yet and has no effect"
        for flag in _WITHOUT_EFFECT
        if given[flag.name] and given[flag.name] not in _QUIET.get(flag.name, ())
    ]
    values: dict[str, Any] = {}
    for path, (_, key) in KEYS.items():
        value = given.get(key.flag) if key.flag else None
        if value is None or value == []:
            continue
        if key.kind is Kind.TEXTS:
            value = tuple(value)
        elif key.kind is Kind.TEXT_MAP:
            value = dict(value)
        values[path] = value
    return AgentFlags(
        values=values,
        config_paths=_in_order(argv, given),
        config_format=given["config-format"],
        fragments=tuple(given["hcl"]),
        dev=given["dev"],
        warnings=tuple(notes),
    )


def _in_order(argv: Sequence[str], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Files and directories in the order of the command line; later ones take precedence."""
    files, folders = iter(given["config-file"]), iter(given["config-dir"])
    ordered: list[str] = []
    for word in argv:
        name = word.lstrip("-").partition("=")[0] if word.startswith("-") else ""
        source = files if name == "config-file" else folders if name == "config-dir" else None
        path = next(source, None) if source else None
        if path is not None:
            ordered.append(path)
    return tuple(ordered)
