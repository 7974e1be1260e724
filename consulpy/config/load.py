"""Reads what the user wrote into one `RuntimeConfig`: flags over files over -dev over defaults.

Source of the order: Consul's documentation, "Configuration"; lists of flags come before those of files, as there.
"""

import dataclasses
from collections.abc import Sequence

from consulpy.config.derive import derive
from consulpy.config.disk import Source, absolute, parse, read_path
from consulpy.config.flags import AgentFlags, read_flags
from consulpy.config.host import AnyHost, Host, ThisHost
from consulpy.config.key import Kind
from consulpy.config.node_id_file import node_id
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.config.validate import check_host, validate, warnings
from consulpy.config.values import Reading, merge, placed
from consulpy.errors import ConfigError

_STRUNG: tuple[Kind, ...] = (Kind.TEXTS, Kind.BLOCKS)


def load(argv: Sequence[str], host: Host | None = None) -> RuntimeConfig:
    """The configuration that the flags in `argv` and the files named there ask for, ready to run.

    The data directory is made and the node's id kept there. Raises `ConfigError`.
    """
    here = host or ThisHost()
    config = read(read_flags(argv), here)
    check_host(config, here)
    machine_id = "" if config.disable_host_node_id else here.machine_id()
    return dataclasses.replace(config, node_id=node_id(config.data_dir, config.node_id, machine_id))


def read(flags: AgentFlags, host: Host) -> RuntimeConfig:
    """The same, but nothing is written and this host is not asked, as for `consulpy validate`. Raises `ConfigError`."""
    sources = [source for path in flags.config_paths for source in read_path(path, flags.config_format)]
    sources += [parse(f"-hcl {number}", text, "hcl") for number, text in enumerate(flags.fragments, 1)]
    readings = [Reading(source) for source in sources]
    strung = {path: value for path, value in flags.values.items() if KEYS[path][1].kind in _STRUNG}
    single = {path: value for path, value in flags.values.items() if path not in strung}
    values = merge([_given(strung), *readings, _given(single)])
    if values.get("data_dir"):
        values["data_dir"] = absolute(values["data_dir"])
    notes = [*flags.warnings, *(line for reading in readings for line in reading.warnings)]
    files = [absolute(path) for path in flags.config_paths]
    places = {path: place for reading in readings for path, place in reading.places.items() if path not in single}
    try:
        config = derive(values, host, dev_mode=flags.dev, files=files, warnings=notes)
        validate(config)
    except ConfigError as error:
        raise placed(error, places) from None
    return dataclasses.replace(config, warnings=(*config.warnings, *warnings(config)))


def validate_files(paths: Sequence[str], file_format: str = "", host: Host | None = None) -> RuntimeConfig:
    """Are these files a configuration that could run, on some host? Raises `ConfigError` that says why not."""
    if not paths:
        raise ConfigError("Must specify at least one config file or directory")
    return read(AgentFlags(config_paths=tuple(paths), config_format=file_format), host or AnyHost())


def _given(values: dict[str, object]) -> Reading:
    """Values that are checked already, among readings."""
    reading = Reading(Source("flags"))
    reading.values = dict(values)
    return reading
