"""Config entries that a leader writes if they do not exist (`config_entries { bootstrap {} }`)."""

from collections.abc import Iterable, Mapping
from typing import Any

from consulpy.config.definitions import Definition, anything, map_of
from consulpy.config.place import Place
from consulpy.connect.config_entries.normalize import normalized
from consulpy.connect.config_entries.validate import validate
from consulpy.errors import RPCError
from consulpy.gocompat.json_decode import GoError
from consulpy.http.api.config_entry_body import entry_of
from consulpy.structs.config_entry import Entry
from consulpy.structs.service_intentions import API_KINDS, ServiceIntentions, check


def read(value: Any, place: Place) -> Definition:
    """One entry in the HTTP API's form. Raises `ConfigError` for an invalid entry."""
    found: dict[str, Any] = map_of(anything)(value, place)
    try:
        _entry(found)
    except (GoError, RPCError) as error:
        words = " ".join(line.strip("\t* ") for line in str(error).splitlines() if "occurred:" not in line)
        raise place.fault(words.strip()) from None
    return Definition(found, place)


def entries_of(raws: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The config entries of definitions that `read` returned."""
    return [_entry(dict(raw)) for raw in raws]


def _entry(raw: dict[str, Any]) -> Entry:
    entry: Any = entry_of(raw, API_KINDS)
    if isinstance(entry, ServiceIntentions):
        check(entry)
        return entry
    entry = normalized(entry, entry.kind)
    validate(entry)
    return entry  # type: ignore[no-any-return]
