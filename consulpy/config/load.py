"""Loads a `RuntimeConfig`: -hcl takes precedence over flags, these over files, those over -dev, that over defaults.

Source: Consul's documentation, "Configuration"; a real agent for -hcl. Lists from flags come before those from files.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from consulpy.codec.blocks import block_of
from consulpy.config.derive import derive
from consulpy.config.disk import Source, absolute, parse, read_path
from consulpy.config.flags import AgentFlags, read_flags
from consulpy.config.host import AnyHost, Host, ThisHost
from consulpy.config.key import Kind
from consulpy.config.node_id_file import node_id
from consulpy.config.recursors import resolved
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.config.validate import check_host, validate
from consulpy.config.values import Reading, merge, placed
from consulpy.config.warnings import warnings
from consulpy.errors import ConfigError

#: What an error about the settings of a program begins with, in place of a file's name.
MAPPING_ORIGIN: Final = "config"
_CONCATENATED: tuple[Kind, ...] = (Kind.TEXTS, Kind.BLOCKS)


def load(argv: Sequence[str], host: Host | None = None) -> RuntimeConfig:
    """The configuration of an agent's command line, with the files that it names, ready to run.

    Creates the data directory and stores the node id in it. Raises `ConfigError`.
    """
    here = host or ThisHost()
    config = _on_host(read(read_flags(argv), here), here)
    machine_id = "" if config.disable_host_node_id else here.machine_id()
    return dataclasses.replace(config, node_id=node_id(config.data_dir, config.node_id, machine_id))


def read(flags: AgentFlags, host: Host) -> RuntimeConfig:
    """The configuration of parsed flags, validated. Writes nothing. Raises `ConfigError`."""
    sources = [source for path in flags.config_paths for source in read_path(path, flags.config_format)]
    files_read = [Reading(source) for source in sources]
    fragments = [Reading(parse(f"-hcl {number}", text, "hcl")) for number, text in enumerate(flags.fragments, 1)]
    readings = [*files_read, *fragments]
    lists = {path: value for path, value in flags.values.items() if KEYS[path][1].kind in _CONCATENATED}
    single = {path: value for path, value in flags.values.items() if path not in lists}
    values = merge([_reading_of_flags(lists), *files_read, _reading_of_flags(single), *fragments])
    if values.get("data_dir"):
        values["data_dir"] = absolute(values["data_dir"])
    notes = [*flags.warnings, *(line for reading in readings for line in reading.warnings)]
    files = [absolute(path) for path in flags.config_paths]
    places = {path: place for reading in files_read for path, place in reading.places.items() if path not in single}
    places |= {path: place for reading in fragments for path, place in reading.places.items()}
    try:
        config = derive(values, host, dev_mode=flags.dev, files=files, warnings=notes)
        validate(config)
    except ConfigError as error:
        raise placed(error, places) from None
    return dataclasses.replace(config, warnings=(*config.warnings, *warnings(config)))


def from_mapping(
    settings: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, host: Host | None = None
) -> RuntimeConfig:
    """The configuration of an agent inside a program: Consul's keys as in a JSON file, over `defaults` by key.

    Without `data_dir` the agent stores nothing; with one, this creates it and stores the node id there. No other file
    is read, nor the environment. Raises `ConfigError`.
    """
    here = host or ThisHost()
    reading = Reading(Source(MAPPING_ORIGIN, block_of(settings)))
    values = {**(defaults or {}), **merge([reading])}
    if values.get("data_dir"):
        values["data_dir"] = absolute(values["data_dir"])
    try:
        config = derive(values, here, in_memory="data_dir" not in values, warnings=reading.warnings)
        validate(config)
        config = _on_host(config, here)
    except ConfigError as error:
        raise placed(error, reading.places) from None
    config = dataclasses.replace(config, warnings=(*config.warnings, *warnings(config)))
    return dataclasses.replace(config, node_id=node_id(config.data_dir, config.node_id))


def _on_host(config: RuntimeConfig, host: Host) -> RuntimeConfig:
    """The configuration checked on its host, with addresses for the names of recursors. Raises `ConfigError`."""
    check_host(config, host)
    return dataclasses.replace(config, recursors=tuple(resolved(each, host) for each in config.recursors))


def validate_files(paths: Sequence[str], file_format: str = "", host: Host | None = None) -> RuntimeConfig:
    """Validate files and directories. Raises `ConfigError` for the first fault."""
    if not paths:
        raise ConfigError("Must specify at least one config file or directory")
    return read(AgentFlags(config_paths=tuple(paths), config_format=file_format), host or AnyHost())


def _reading_of_flags(values: dict[str, object]) -> Reading:
    """The values of flags as a `Reading`."""
    reading = Reading(Source("flags"))
    reading.values = dict(values)
    return reading
