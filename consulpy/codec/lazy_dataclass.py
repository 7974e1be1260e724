"""`dataclasses.dataclass` whose methods are compiled at their first use.

`dataclasses` compiles `__init__`, `__repr__`, `__eq__` and others of each class when it is made, 0.3 to 0.5 ms a class:
for hundreds of classes that is a large part of an agent's start and some of its memory, and most of the methods are
never called there. The first use replaces the method by the compiled one, so later ones cost what they always did.
"""

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        cls: type | None = None, /, *, slots: bool = False, frozen: bool = False, eq: bool = True, kw_only: bool = False
    ) -> Any:
        """A decorator as `dataclasses.dataclass`, without order, `unsafe_hash`, `InitVar` and hash of fields."""

        def decorate(cls: type) -> type:
            if frozen and any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:]):  # both must say it is frozen
                return dataclasses.dataclass(slots=slots, frozen=True, eq=eq, kw_only=kw_only)(cls)
            own = {
                name for name, value in vars(cls).items() if value is not None
            }  # `__eq__` alone makes `__hash__` None
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
            wanted = ["__init__", "__repr__"]
            if eq:
                wanted += ["__eq__", "__hash__"] if frozen else ["__eq__"]
            for name in wanted:
                if name not in own:
                    setattr(made, name, _LATER[name])
            if eq and not frozen and not own & {"__eq__", "__hash__"}:
                setattr(made, "__hash__", None)  # noqa: B010 - mypy: as for every class that compares by value
            if frozen:
                _freeze(made, slots)
            return made

        return decorate if cls is None else decorate(cls)


def _compiled_later(name: str) -> Callable[..., Any]:
    """The method of all classes that have not compiled theirs; one for each class would take a megabyte."""

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        cls = next((each for each in type(self).__mro__ if vars(each).get(name) is method), None)
        if cls is None:  # another thread has just compiled it
            return getattr(type(self), name)(self, *arguments, **named)
        compiled = _COMPILERS[name](cls)
        compiled.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(cls, name, compiled)
        return compiled(self, *arguments, **named)

    return method


def _freeze(cls: Any, slots: bool) -> None:
    """Make a class frozen: attributes can't be assigned; for `slots`, `copy` can still set the state."""
    cls.__dataclass_params__.frozen = True

    def is_field(instance: Any, name: str) -> bool:
        return type(instance) is cls or name in cls.__dataclass_fields__

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if is_field(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if is_field(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    cls.__setattr__, cls.__delattr__ = __setattr__, __delattr__
    if slots:
        cls.__getstate__, cls.__setstate__ = _state, _set_state


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _function(text: str, name: str, values: dict[str, Any]) -> Any:
    exec(text, values)
    return values[name]


def _init(cls: Any) -> Any:
    values: dict[str, Any] = {"_MISSING": dataclasses.MISSING, "_set": object.__setattr__}
    assign = "_set(self, {0!r}, {1})" if cls.__dataclass_params__.frozen else "self.{0} = {1}"
    parameters: list[str] = []
    by_name: list[str] = []
    lines = []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        taken = by_name if field.kw_only else parameters
        if not field.init:
            if field.default_factory is not dataclasses.MISSING:
                values[f"_make_{name}"] = field.default_factory
                lines.append(" " + assign.format(name, f"_make_{name}()"))
            elif field.default is not dataclasses.MISSING:
                values[f"_default_{name}"] = field.default
                lines.append(" " + assign.format(name, f"_default_{name}"))
            continue
        if field.default is not dataclasses.MISSING:
            values[f"_default_{name}"] = field.default
            taken.append(f"{name}=_default_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            values[f"_make_{name}"] = field.default_factory
            taken.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        else:
            taken.append(name)
        lines.append(" " + assign.format(name, value))
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    parameters += ["*", *by_name] if by_name else []
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


def _hash(cls: Any) -> Any:
    names = [f"self.{field.name}, " for field in dataclasses.fields(cls) if field.compare]
    return _function(f"def __hash__(self):\n return hash(({''.join(names)}))", "__hash__", {})


def _repr(cls: Any) -> Any:
    names = [field.name for field in dataclasses.fields(cls) if field.repr]

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return recursive_repr()(__repr__)


_COMPILERS: dict[str, Callable[[Any], Any]] = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
}
_LATER: dict[str, Callable[..., Any]] = {name: _compiled_later(name) for name in _COMPILERS}
