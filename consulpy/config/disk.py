"""Configuration files and directories: their order, and the settings in each.

Source: Consul's documentation of `-config-file` and `-config-dir`; the order is that of the command line, and
alphabetical in a folder. Only `.json` and `.hcl` files of a folder count.
"""

import os
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

from consulpy.codec.blocks import Block, line_of
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.strict_json import DEPTH_MAX, is_deep
from consulpy.config import json_text
from consulpy.errors import ConfigError

#: Most bytes of a configuration file; larger ones are refused.
LARGEST_BYTES: Final = 16 * 1024 * 1024
SUFFIXES: Final = (".hcl", ".json")


@dataclass
class Source:
    """One tree of settings and its origin: a file, a fragment (-hcl), or the flags."""

    origin: str
    tree: Block = field(default_factory=Block)
    #: Warnings for the log.
    warnings: list[str] = field(default_factory=list)

    def place(self, block: Block, name: str = "") -> str:
        """Where a name of a block was written, for an error: "web.hcl:12"."""
        line = line_of(block, name)
        return f"{self.origin}:{line}" if line else self.origin


def read_path(path: str, file_format: str = "") -> list[Source]:
    """A file, or the files of a directory. Raises `ConfigError` with file and line.

    A link to nothing is an error, as in Consul: without its settings the agent would be another one.
    """
    if not path:
        raise ConfigError("config: Open failed on . open : no such file or directory")
    place = Path(path)
    if place.is_dir():
        try:
            names = sorted(each for each in place.iterdir() if each.is_file() or not each.exists())
        except OSError as error:
            raise ConfigError(f"config: ReadDir failed on {path}: {error.strerror}") from None
        return [
            read_file(str(found), file_format) if found.suffix in SUFFIXES or file_format else _skipped(found)
            for found in names
        ]
    return [read_file(path, file_format)]


def _skipped(path: Path) -> Source:
    text = f"skipping file {path}, extension must be .hcl or .json, or config format must be set"
    return Source(str(path), warnings=[text])


def read_file(path: str, file_format: str = "") -> Source:
    """One file. `file_format`: "hcl" or "json"; "": by the suffix. Raises `ConfigError`."""
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
    """The settings in a text ("hcl" or "json"); an empty text has none. Raises `ConfigError` with origin and line.

    An HCL text that begins with a brace may be JSON: trailing commas are allowed, and only the first value is read, as
    in Consul.
    """
    plain = text.removeprefix("\ufeff")
    if not plain:
        return Source(origin)
    if file_format == "json":
        return _parse_json(origin, plain, strict=True)
    from consulpy.codec import hcl  # most configurations are flags and JSON

    if plain.lstrip().startswith("{"):
        try:
            return Source(origin, hcl.parse(plain))
        except hcl.HclSyntaxError:
            return _parse_json(origin, plain, strict=False)
    try:
        return Source(origin, hcl.parse(plain))
    except hcl.HclSyntaxError as mistake:
        raise ConfigError(f"failed to parse {origin}:{mistake.line}: {mistake}") from None


def _parse_json(origin: str, text: str, *, strict: bool) -> Source:
    try:
        tree, end = json_text.parse(text, strict=strict)
    except json_text.JsonSyntaxError as mistake:
        place = "".join(f":{number}" for number in (mistake.line, mistake.column) if number)
        raise ConfigError(f"failed to parse {origin}{place}: {mistake}") from None
    if is_deep(tree):
        raise ConfigError(f"failed to parse {origin}: blocks may be nested {DEPTH_MAX} deep at most")
    if tree is None:
        return Source(origin)
    if not isinstance(tree, Block):
        raise ConfigError(f"failed to parse {origin}: expected one block {{...}} around all settings")
    source = Source(origin, tree)
    if text[end:].strip():
        line = text.count("\n", 0, end) + 1
        source.warnings.append(f"{origin}:{line}: what follows the first JSON value has no effect")
    return source


def read_all(paths: Sequence[str], file_format: str = "") -> list[Source]:
    """All sources of `-config-file` and `-config-dir`, in their order."""
    return [source for path in paths for source in read_path(path, file_format)]


def check_data_dir(data_dir: str | None) -> None:
    """Create the data directory if it does not exist. Raises `ConfigError` if it is not usable."""
    if data_dir is None:
        return
    path = Path(data_dir)
    if path.exists() and not path.is_dir():
        raise ConfigError(f'data_dir "{data_dir}" is not a directory (-data-dir)')
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise ConfigError(f"data_dir (-data-dir): cannot make {data_dir}: {error.strerror}") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(f"data_dir (-data-dir): {data_dir} may not be written by this user")


def absolute(path: str) -> str:
    """The absolute form of `path`, with `~` expanded."""
    return str(Path(path).expanduser().absolute())
