"""A key of the configuration: everything that files, flags, help texts and checks have to know about it, said once.

A field of a dataclass in `schema` or `sections` becomes a key through `key(...)`; `keys_of` derives the table.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any, Final


class Kind(enum.Enum):
    """How a value is written, in files and on the command line; the value is how an error names it."""

    TEXT = "text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    SWITCH = "true or false"
    DURATION = "a duration such as 10s or 1h30m"
    TEXTS = "a list of texts"
    SWITCHES = "a list of true and false"
    TEXT_MAP = "a block of names and texts"
    DURATION_MAP = "a block of names and durations"
    BLOCK = "a block"
    BLOCKS = "a block or a list of blocks"


class Support(enum.Enum):
    """What this program does with a key that Consul knows."""

    USED = "used"
    #: Read and checked, without effect: it belongs to what this program does not do yet, and nobody is harmed.
    IGNORED = "ignored"
    #: Leaving it out would leave the user less safe than he thinks.
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Key:
    """One key: `path` is its name in files ("ports.dns"), `flag` on the command line (without dashes, "" if none)."""

    path: str
    kind: Kind
    default: Any
    flag: str
    doc: str
    reloadable: bool
    support: Support
    placeholder: str
    #: Whether the value is shown nowhere.
    secret: bool = False


_META: Final = "consulpy key"


def is_secret(field: "dataclasses.Field[Any]") -> bool:
    """Whether the value of a field is shown nowhere."""
    return bool(field.metadata.get(_META, {}).get("secret"))


def key(
    kind: Kind,
    default: Any = None,
    doc: str = "",
    *,
    wire: str = "",
    flag: str = "",
    reloadable: bool = False,
    support: Support = Support.USED,
    placeholder: str = "value",
    secret: bool = False,
) -> Any:
    """Declare a dataclass field as a key. `wire` is needed where the field's name differs (units, plurals).

    `secret`: the value is shown nowhere.
    """
    about = {"wire": wire, "kind": kind, "flag": flag, "doc": doc, "reloadable": reloadable, "support": support}
    meta = {_META: {**about, "placeholder": placeholder, "secret": secret}}
    if isinstance(default, Mapping):  # dataclasses want a factory for what has no hash
        return dataclasses.field(default_factory=dict, metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def section(kind: type) -> Any:
    """Declare a dataclass field as a block of keys of its own."""
    return dataclasses.field(default_factory=kind, metadata={_META: {"section": kind}})


def keys_of(schema: type, prefix: str = "") -> Iterator[tuple[tuple[str, ...], Key]]:
    """All keys of a dataclass and the blocks in it: (names of the fields that lead there, the key)."""
    for field in dataclasses.fields(schema):
        about = field.metadata.get(_META)
        if about is None:
            continue
        if "section" in about:
            for names, found in keys_of(about["section"], f"{prefix}{field.name}."):
                yield (field.name, *names), found
            continue
        wire = about["wire"] or field.name.removesuffix("_s")
        rest = {name: value for name, value in about.items() if name != "wire"}
        default = {} if field.default is dataclasses.MISSING else field.default
        yield (field.name,), Key(path=prefix + wire, default=default, **rest)
