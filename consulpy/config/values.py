"""Conversion of a tree of settings to validated values by key.

    {"ports": {"http": 80}, "retry_interval": "1m"}   ->   {"ports.http": 80, "retry_interval": 60.0}

An unknown name is an error with file, line and the nearest known name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from consulpy.codec.blocks import Block, single
from consulpy.config import unsupported_keys
from consulpy.config.disk import Source
from consulpy.config.key import Kind, Support
from consulpy.config.place import Place
from consulpy.config.schema import KEYS
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import parse_duration

#: The paths of all blocks.
_BLOCKS: Final = {
    path[: dot.start()]
    for path in (*KEYS, *unsupported_keys.REFUSED, *unsupported_keys.IGNORED, *unsupported_keys.SAME)
    for dot in re.finditer(r"\.", path)
}
#: Blocks of arbitrary names.
FREE_BLOCKS: Final = {
    *(name.removesuffix(".*") for name in unsupported_keys.IGNORED if name.endswith(".*")),
    *(path for path, (_, key) in KEYS.items() if key.kind is Kind.VALUE_MAP),
}
#: All valid names, with those of blocks and without those in free blocks.
ALL_NAMES: Final = {
    name
    for name in (*KEYS, *_BLOCKS, *unsupported_keys.REFUSED, *unsupported_keys.SAME, *unsupported_keys.IGNORED)
    if not name.endswith("*")
}


def nearest(name: str, choices: Iterable[str]) -> str:
    """The most similar known name, or ""."""
    import difflib  # for misspelt names only

    found = difflib.get_close_matches(name, sorted(choices), n=1, cutoff=0.6)
    return found[0] if found else ""


#: Ignored keys whose contents `definitions.IGNORED` knows.
_SHAPED: Final = ("audit.sink", "acl.tokens.managed_service_provider")
#: Ignored keys whose number must be above 0, as in Consul.
_POSITIVE: Final = ("cache.entry_fetch_rate", "cache.entry_fetch_max_burst")
#: Names of one definition, beside those of lists.
_SINGLE: Final = ("service", "check")


def _single_ones_last(item: tuple[str, Any]) -> bool:
    """`service` comes after `services`, as in Consul: of two with one id the last counts."""
    return item[0].lower() in _SINGLE


def _is_known(path: str) -> bool:
    return any(
        path in names for names in (KEYS, _BLOCKS, FREE_BLOCKS, unsupported_keys.REFUSED, unsupported_keys.IGNORED)
    )


def _is_list(path: str) -> bool:
    """Whether the value is a list, or of any type."""
    if path in KEYS:
        return KEYS[path][1].kind in (Kind.TEXTS, Kind.BLOCKS)
    ignored = unsupported_keys.IGNORED.get(path, Kind.BLOCK)
    return path == "segments" or (ignored in (None, Kind.TEXTS) and path not in FREE_BLOCKS)


def _only_one(value: Any, place: Place) -> Any:
    """The value, or the only item of a list, as in Consul. Raises `ConfigError` for a block written several times."""
    value = single(value)
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        name = place.path.rpartition(".")[2]
        hint = f"; several go into {name}s = [...]" if name.lower() in _SINGLE else ""
        raise place.fault(f"expected one block, not {len(value)}{hint}")
    return value


class Reading:
    """The values of one source by key, and its warnings. Raises `ConfigError`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        #: The place of each key.
        self.places: dict[str, str] = {}
        self.warnings = [*source.warnings]
        self._walk(source.tree, ())

    def _walk(self, tree: Block, written: tuple[str, ...]) -> None:
        Place(self.source.origin, tree.line, ".".join(written)).check_spellings(tree)
        for name, value in sorted(tree.items(), key=_single_ones_last):
            here = (*written, name)
            path = ".".join(here).lower()
            path = unsupported_keys.SAME.get(path, path)
            place = Place(self.source.origin, tree.line_of(name), ".".join(here))
            if ("." in name and path not in unsupported_keys.IGNORED) or not _is_known(path):
                self._unknown(path, place)
            if name.lower() in _SINGLE or not _is_list(path):
                value = _only_one(value, place)
            if value is None:
                continue
            if path in unsupported_keys.REFUSED and path in KEYS:
                self._refuse(path, value, place)
            if path in KEYS:
                self._read_key(path, value, place)
            elif path in FREE_BLOCKS:
                self._ignore(path, value, place)
            elif path in _BLOCKS:
                self._walk_block(value, here, place)
            elif path in unsupported_keys.REFUSED:
                self._refuse(path, value, place)
            else:
                self._ignore(path, value, place)

    def _ignore(self, path: str, value: Any, place: Place) -> None:
        """Validate the value of an ignored key, and warn unless it has no effect anyway."""
        kind = unsupported_keys.IGNORED.get(path)
        if path in FREE_BLOCKS and not isinstance(value, dict):
            raise place.wrong(Kind.BLOCK.value, value)
        if kind is not None:
            value = self._convert(kind, value, place)
        if path in _SHAPED:
            from consulpy.config.definitions import IGNORED

            IGNORED[path](value, place)
        if path in _POSITIVE and isinstance(value, int | float) and value <= 0:
            raise place.fault(f"must be strictly positive, was: {value:g}")
        if value in ("", (), [], {}) or (
            path in unsupported_keys.QUIET and (unsupported_keys.QUIET[path] or (value,)).count(value)
        ):
            return
        self._warn(path, place)

    def _warn(self, path: str, place: Place) -> None:
        block = next(
            (
                above
                for above in (path, path.rpartition(".")[0], path.partition(".")[0])
                if above in unsupported_keys.REASONS
            ),
            "",
        )
        if not block:
            self.warnings.append(f"{place}: {path} is not supported yet and has no effect")
        elif not any(line.endswith(unsupported_keys.REASONS[block]) for line in self.warnings):
            self.warnings.append(f"{place}: {unsupported_keys.REASONS[block]}")

    def _walk_block(self, value: Any, here: tuple[str, ...], place: Place) -> None:
        if not isinstance(value, Block):
            raise place.wrong(Kind.BLOCK.value, value)
        self._walk(value, here)

    def _unknown(self, path: str, place: Place) -> None:
        block = path.rpartition(".")[0]
        near = nearest(path, [name for name in ALL_NAMES if name.rpartition(".")[0] == block])
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"{place}: invalid config key {place.path}{hint}")

    def _refuse(self, path: str, value: Any, place: Place) -> None:
        if any(value == one and isinstance(value, type(one)) for one in unsupported_keys.HARMLESS[path]):
            return
        missing = unsupported_keys.REFUSED[path]
        raise ConfigError(f"{place}: {path}: {missing} not supported yet; remove the key to go on without")

    def _read_key(self, path: str, value: Any, place: Place) -> None:
        key = KEYS[path][1]
        self.places[path] = str(place)
        if key.kind is Kind.BLOCKS:
            found: Any = self._definitions(path, value, place)
        else:
            found = self._convert(key.kind, value, place, secret=key.secret)
        if key.support is Support.IGNORED and found not in (key.default, *(unsupported_keys.QUIET.get(path) or ())):
            self._warn(path, place)
        if path in self.values and isinstance(found, tuple):
            found = self.values[path] + found
        elif path in self.values and isinstance(found, dict):
            found = self.values[path] | found
        self.values[path] = found

    def _convert(self, kind: Kind, value: Any, place: Place, *, secret: bool = False) -> Any:
        try:
            return convert(kind, value)
        except ValueError as error:
            expected = str(error)
            if expected.startswith("expected"):
                raise place.fault(expected) from None
            raise place.wrong(expected or kind.value, value, secret=secret) from None

    def _definitions(self, path: str, value: Any, place: Place) -> tuple[Any, ...]:
        """Service, check and watch definitions: a list of blocks, or one block."""
        from consulpy.config import definitions

        if path == "config_entries.bootstrap":
            from consulpy.config.bootstrap_entries import read as read_entry  # only here are the endpoints imported

            read = read_entry
        else:
            read = {"services": definitions.service, "checks": definitions.check, "watches": definitions.watch}[path]
        if place.path.lower() in _SINGLE or (isinstance(value, Block) and value.is_list):
            return (read(value, place),)
        if not isinstance(value, list):
            raise place.wrong("a list of blocks", value)
        return tuple(read({} if one is None else one, place.item(at, one)) for at, one in enumerate(value))


def convert(kind: Kind, value: Any) -> Any:
    """The checked form of a value. Raises `ValueError`, with a text if there is more to say than the kind."""
    if kind is Kind.TEXT and isinstance(value, str):
        return value
    if kind is Kind.SWITCH and isinstance(value, bool):
        return value
    if kind is Kind.WHOLE and isinstance(value, int | float) and not isinstance(value, bool):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("a whole number of 64 bits")
        if value == int(value):
            return int(value)
    if kind is Kind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is Kind.DURATION and isinstance(value, str):
        return parse_duration(value)
    if kind is Kind.TEXTS and isinstance(value, list):
        texts = tuple("" if (one := single(item)) is None else one for item in value)
        if all(isinstance(one, str) for one in texts):
            return texts
    if kind in (Kind.TEXT_MAP, Kind.DURATION_MAP, Kind.VALUE_MAP):
        return _map(kind, value)
    raise ValueError


def _map(kind: Kind, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    if kind is Kind.VALUE_MAP:
        return dict(value)
    found: dict[str, Any] = {}
    for name, inner in value.items():
        text = "" if inner is None else single(inner)
        if not isinstance(text, str):
            raise ValueError
        found[name] = parse_duration(text) if kind is Kind.DURATION_MAP else text
    return found


def merge(readings: Iterable[Reading]) -> dict[str, Any]:
    """All values by key: single ones from the last source, lists concatenated, maps merged."""
    merged: dict[str, Any] = {}
    for reading in readings:
        for path, value in reading.values.items():
            before = merged.get(path)
            if isinstance(value, tuple) and before is not None:
                merged[path] = before + value
            elif isinstance(value, dict) and before is not None:
                merged[path] = before | value
            else:
                merged[path] = value
    return merged


def placed(error: ConfigError, places: Mapping[str, str]) -> ConfigError:
    """An error about several settings, with the place of the first key that it names, if that is in a file."""
    text = str(error)
    if any(text.startswith(f"{place}:") for place in places.values()):
        return error
    for word in re.findall(r"[a-z][a-z0-9_.]*[a-z0-9_]", text):
        for path in (word, *(f"tls.{block}.{word}" for block in ("internal_rpc", "https", "defaults"))):
            if path in places:
                return ConfigError(f"{places[path]}: {text}")
    return error
