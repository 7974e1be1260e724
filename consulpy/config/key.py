"""A key of the configuration: its name in files, flag, type, default, help text, and whether a reload applies it.

A field of a dataclass in `schema` or `sections` becomes a key through `key(...)`; `keys_of` derives the table.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any, Final


class Kind(enum.Enum):
    """The type of a value in files and on the command line; the member's value is its name in errors."""

    TEXT = "text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    SWITCH = "true or false"
    DURATION = "a duration such as 10s or 1h30m"
    TEXTS = "a list of texts"
    TEXT_MAP = "a block of names and texts"
    DURATION_MAP = "a block of names and durations"
    VALUE_MAP = "a block of names and values"
    BLOCK = "a block"
    BLOCKS = "a block or a list of blocks"


class Support(enum.Enum):
    """Whether a key of Consul has an effect here."""

    USED = "used"
    #: Parsed and validated, without effect: it configures an unsupported feature, and ignoring it is safe.
    IGNORED = "ignored"
    #: An error: ignoring it would be less secure than configured.
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
    #: Whether the value is never shown.
    secret: bool = False


#: Key of a field's metadata.
_META: Final = "consulpy key"


def is_secret(field: "dataclasses.Field[Any]") -> bool:
    """Whether the value of a field is never shown."""
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

    `secret`: the value is never shown.
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
    """All keys of a dataclass and of its blocks: (names of the fields that lead to the key, the key)."""
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
