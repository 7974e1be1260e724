"""`dataclass(slots=True)` whose methods are compiled at their first use.

`dataclasses` compiles `__init__`, `__repr__` and `__eq__` of each class when it is made: for hundreds of records that
is a part of an agent's start, and most of them are never made, compared or shown there. The first use replaces the
method by the compiled one, so later ones cost what they always did.
"""

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, slots: bool) -> Callable[[type], type]:
        """A decorator as `dataclasses.dataclass(slots=True)`: not frozen, without order, `InitVar` and `KW_ONLY`."""

        def decorate(cls: type) -> type:
            own = vars(cls).keys() & {"__init__", "__repr__", "__eq__"}
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
            for name in _COMPILERS.keys() - own:
                setattr(made, name, _compiled_later(made, name))
            if "__eq__" not in own:
                setattr(made, "__hash__", None)  # noqa: B010 - mypy: as for every class that compares by value
            return made

        return decorate


def _compiled_later(cls: type, name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        compiled = _COMPILERS[name](cls)
        compiled.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(cls, name, compiled)
        return compiled(self, *arguments, **named)

    return method


def _function(text: str, name: str, values: dict[str, Any]) -> Any:
    exec(text, values)
    return values[name]


def _init(cls: Any) -> Any:
    values: dict[str, Any] = {"_MISSING": dataclasses.MISSING}
    parameters, lines = [], []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            values[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            values[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        else:
            parameters.append(name)
        lines.append(f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    head = f"def __init__({', '.join(['self', *parameters])}):"
    return _function("\n".join([head, *(lines or [" pass"])]), "__init__", values)


def _eq(cls: Any) -> Any:
    ours, theirs = (
        "".join(f"{side}.{field.name}, " for field in dataclasses.fields(cls) if field.compare)
        for side in ("self", "other")
    )
    text = f"""def __eq__(self, other):
 if other.__class__ is self.__class__:
  return ({ours}) == ({theirs})
 return NotImplemented"""
    return _function(text, "__eq__", {})


def _repr(cls: Any) -> Any:
    names = [field.name for field in dataclasses.fields(cls) if field.repr]

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return recursive_repr()(__repr__)


_COMPILERS: dict[str, Callable[[Any], Any]] = {"__init__": _init, "__repr__": _repr, "__eq__": _eq}
