"""Files and folders of configuration: which are read, in which order, and what is in each.

Source: Consul's documentation of `-config-file` and `-config-dir`; the order is that of the command line, and
alphabetical in a folder. Only `.json` and `.hcl` files of a folder count.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from consulpy.codec import hcl
from consulpy.errors import ConfigError

#: A configuration file larger than this is a mistake, in bytes.
LARGEST_BYTES: Final = 16 * 1024 * 1024
SUFFIXES: Final = (".hcl", ".json")


@dataclass
class Source:
    """One tree of settings and where it came from: a file, a fragment, or the flags."""

    origin: str
    tree: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def place(self, *path: str) -> str:
        """Where a key was written, for an error: "web.hcl:12"."""
        line = self.lines.get(path)
        return f"{self.origin}:{line}" if line else self.origin


def read_path(path: str, file_format: str = "") -> list[Source]:
    """The file, or the files of the folder. Raises `ConfigError` naming file and line."""
    place = Path(path)
    if place.is_dir():
        try:
            names = sorted(found for found in place.iterdir() if found.is_file())
        except OSError as error:
            raise ConfigError(f"config: ReadDir failed on {path}: {error.strerror}") from None
        chosen = [found for found in names if found.suffix in SUFFIXES or file_format]
        return [read_file(str(found), file_format) for found in chosen]
    return [read_file(path, file_format)]


def read_file(path: str, file_format: str = "") -> Source:
    """One file. Its suffix says how it is written, unless `file_format` ("hcl", "json") does."""
    if not Path(path).exists():
        raise ConfigError(f"config: Open failed on {path}. open {path}: no such file or directory")
    chosen = file_format or Path(path).suffix.removeprefix(".")
    if f".{chosen}" not in SUFFIXES:
        raise ConfigError(f"{path}: expected a name that ends in .hcl or .json, or -config-format")
    try:
        if Path(path).stat().st_size > LARGEST_BYTES:
            raise ConfigError(f"{path}: expected a file of at most {LARGEST_BYTES} bytes")
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"config: Open failed on {path}. open {path}: {reason}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text in UTF-8, byte {error.start} is not") from None
    return parse(path, text, chosen)


def parse(origin: str, text: str, file_format: str) -> Source:
    """The settings in a text ("hcl" or "json"). Raises `ConfigError` naming origin and line."""
    if file_format == "json":
        return _parse_json(origin, text)
    try:
        document = hcl.parse(text)
    except hcl.SyntaxMistake as mistake:
        raise ConfigError(f"failed to parse {origin}:{mistake.line}: {mistake}") from None
    return Source(origin, document.tree, document.lines)


def _parse_json(origin: str, text: str) -> Source:
    try:
        tree = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"failed to parse {origin}:{error.lineno}:{error.colno}: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"failed to parse {origin}: blocks are nested too deep") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"failed to parse {origin}: expected one block {{...}} around all settings")
    lines: dict[tuple[str, ...], int] = {}
    _find_lines(text, tree, (), 0, lines)
    return Source(origin, tree, lines)


def _find_lines(text: str, tree: dict[str, Any], path: tuple[str, ...], start: int, lines: dict[Any, int]) -> None:
    """The line of each name, sought behind that of the block around it: the JSON reader doesn't tell."""
    for name, value in tree.items():
        found = re.compile(re.escape(json.dumps(name)) + r"\s*:").search(text, start)
        if found is None:
            continue
        here = (*path, name)
        lines[here] = text.count("\n", 0, found.start()) + 1
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and len(path) < hcl.DEEPEST:
                _find_lines(text, inner, here, found.end(), lines)


def read_all(paths: Sequence[str], file_format: str = "") -> list[Source]:
    """All sources of `-config-file` and `-config-dir`, in their order."""
    return [source for path in paths for source in read_path(path, file_format)]
