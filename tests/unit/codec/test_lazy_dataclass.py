"""Records compiled at first use are what `dataclasses` makes of them."""

import dataclasses
import importlib
import inspect
import pkgutil
from copy import copy, deepcopy
from typing import Any

import pytest

import consulpy.structs
from consulpy.codec.lazy_dataclass import dataclass


def records() -> list[Any]:
    names = [f"consulpy.structs.{module.name}" for module in pkgutil.iter_modules(consulpy.structs.__path__)]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return sorted({each for each in values if isinstance(each, type) and dataclasses.is_dataclass(each)}, key=str)


def test_there_are_many() -> None:
    assert len(records()) > 200


@pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
def test_a_record_is_as_dataclasses_makes_it(record: Any) -> None:
    def field(each: Any) -> tuple[str, type, Any]:
        return each.name, Any, dataclasses.field(
            default=each.default, default_factory=each.default_factory, repr=each.repr, compare=each.compare
        )  # fmt: skip

    real: Any = dataclasses.make_dataclass("Real", [field(each) for each in dataclasses.fields(record)])
    values = {
        each.name: f"value of {each.name}"
        for each in dataclasses.fields(record)
        if each.default is each.default_factory is dataclasses.MISSING
    }
    ours, theirs = record(**values), real(**values)
    assert {each.name: getattr(ours, each.name) for each in dataclasses.fields(record)} == vars(theirs)
    if record.__repr__.__module__ == dataclass.__module__:  # two hide their secrets
        assert repr(ours) == repr(theirs).replace("Real(", f"{record.__qualname__}(", 1)
    assert ours == record(**values) == copy(ours) == deepcopy(ours)
    assert ours != theirs
    names = [each.name for each in dataclasses.fields(record)]
    assert list(inspect.signature(record.__init__).parameters) == ["self", *names]
    if names:
        changed = dataclasses.replace(ours, **{names[-1]: object()})
        assert (changed == ours) is not dataclasses.fields(record)[-1].compare
    if record.__dataclass_params__.frozen:
        assert hash(ours) == hash(record(**values))
    else:
        with pytest.raises(TypeError, match="unhashable"):
            hash(ours)
    assert not hasattr(ours, "__dict__") or not hasattr(record, "__slots__")


def test_methods_of_the_class_stay_and_factories_make_new_values() -> None:
    @dataclass(slots=True)
    class Own:
        number: int
        items: list[int] = dataclasses.field(default_factory=list)

        def __repr__(self) -> str:
            return "own"

        def __post_init__(self) -> None:
            self.number += 1

    @dataclass(slots=True)
    class Derived(Own):
        more: str = "x"

    assert (repr(Own(1)), Own(1).number, Own(1, [2]).items) == ("own", 2, [2])
    assert Own(1).items is not Own(1).items
    assert (Derived(1, more="y").more, Derived(1).number) == ("y", 2)
    assert Derived(1) == Derived(1)
    assert Own(1) != Derived(1)
    with pytest.raises(TypeError, match="number"):
        Own()  # type: ignore[call-arg]


def settings(decorate: Any) -> Any:
    @decorate
    class Settings:
        name: str
        parts: tuple[int, ...] = ()
        made: list[int] = dataclasses.field(default_factory=list, compare=False)
        left: int = dataclasses.field(init=False, default=7)

    return Settings


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("eq", [False, True])
@pytest.mark.parametrize("kw_only", [False, True])
def test_a_frozen_class_is_as_dataclasses_makes_it(slots: bool, eq: bool, kw_only: bool) -> None:
    options = {"frozen": True, "slots": slots, "eq": eq, "kw_only": kw_only}
    theirs = settings(dataclasses.dataclass(**options))  # type: ignore[call-overload]
    made = settings(dataclass(**options))  # type: ignore[call-overload]
    one, two = made(name="a", parts=(1,)), made(name="a", parts=(1,))
    assert repr(one) == repr(theirs(name="a", parts=(1,)))
    assert (one == two) is eq
    assert (hash(one) == hash(two)) is eq
    assert copy(one).name == deepcopy(one).name == dataclasses.replace(one, parts=()).name == "a"
    assert hasattr(one, "__dict__") is not slots
    assert made.__match_args__ == theirs.__match_args__
    for name in ("name", "left", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(one, name, "b")
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(one, name)
    if kw_only:
        with pytest.raises(TypeError, match="positional"):
            made("a")
    else:
        assert made("a", (2,)).parts == (2,)


def test_a_frozen_class_may_be_derived_from_and_only_a_frozen_one_may() -> None:
    @dataclass(frozen=True)
    class First:
        number: int = 1

    @dataclass(frozen=True)
    class Second(First):
        more: str = ""

    assert (Second(2, "x"), hash(Second())) == (Second(2, "x"), hash(Second()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Second().number = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="frozen"):

        @dataclass
        class Third(First):  # type: ignore[misc]
            pass


def test_the_own_comparison_and_hash_of_a_class_stay() -> None:
    @dataclass(slots=True)
    class Hashed:
        number: int

        def __hash__(self) -> int:
            return 5

    @dataclass(frozen=True)
    class Compared:
        number: int

        def __eq__(self, other: object) -> bool:
            return True

    assert (hash(Hashed(1)), Hashed(1) == Hashed(1), Hashed(1) == Hashed(2)) == (5, True, False)
    assert Compared(1) == Compared(2)
    assert hash(Compared(1)) == hash((1,))


def test_a_method_that_another_thread_compiles_meanwhile_is_the_compiled_one() -> None:
    @dataclass(slots=True)
    class Record:
        number: int

    before = Record.__init__
    first, second = Record(1), Record.__new__(Record)
    before(second, 1)
    assert first == second


def test_each_class_of_a_chain_has_its_own_methods() -> None:
    @dataclass(slots=True)
    class First:
        number: int

    @dataclass(slots=True)
    class Second(First):
        text: str

        def __repr__(self) -> str:
            return f"<{First.__repr__(self)}>"

    @dataclass(slots=True)
    class Third(Second):
        last: int = 0

    assert repr(Second(1, "a")).endswith("Second(number=1)>")
    assert (Third(1, "a", 2).last, Third(1, "a") == Third(1, "a"), Third(1, "a") == Second(1, "a")) == (2, True, False)
    assert First(1) == First(1)
