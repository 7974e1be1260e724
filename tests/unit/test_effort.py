"""What the short run leaves out. Source: README.md, "Test it"."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import effort
from tests.harness.effort import LONG, MANY, THINNED, named_files, short_run


@dataclass
class Test:
    """A collected test."""

    __test__ = False
    nodeid: str
    is_long: bool = False

    @property
    def path(self) -> Path:
        return Path(self.nodeid.partition("::")[0])

    def get_closest_marker(self, name: str) -> object | None:
        return object() if self.is_long and name == "long" else None


def family(name: str, size: int) -> list[Test]:
    return [Test(f"{name}[{number}]") for number in range(size)]


def nobody(_: Test) -> bool:
    return False


def test_long_tests_are_left_out_and_counted() -> None:
    tests = [Test("a.py::x"), Test("a.py::y", is_long=True), Test("b.py::z")]
    chosen, left_out = short_run(tests, nobody)
    assert chosen == [tests[0], tests[2]]
    assert left_out == {LONG: 1}


def test_of_many_cases_one_in_ten_is_tried_and_of_few_all() -> None:
    many, few = family("a.py::x", MANY + 1), family("a.py::y", MANY)
    chosen, left_out = short_run([*many, *few], nobody)
    assert chosen == [*many[::10], *few]
    assert left_out == {THINNED: MANY + 1 - len(many[::10])}


def test_equal_names_in_two_files_are_two_tests() -> None:
    tests = [*family("a.py::x", MANY), *family("b.py::x", MANY)]
    assert short_run(tests, nobody) == (tests, {})


def test_what_is_named_is_run_whole() -> None:
    tests = [*family("a.py::x", MANY + 1), Test("a.py::y", is_long=True), Test("b.py::z", is_long=True)]
    chosen, left_out = short_run(tests, lambda test: test.path == Path("a.py"))
    assert chosen == tests[:-1]
    assert left_out == {LONG: 1}


def test_files_and_tests_name_and_folders_do_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("one.py", "folder/two.py"):
        (tmp_path / name).write_text("")
    arguments = ["one.py", "folder", "folder/two.py::test_it[a::b]", "gone.py"]
    assert named_files(arguments, tmp_path) == {tmp_path / "one.py", tmp_path / "folder" / "two.py"}


@pytest.mark.parametrize(("full", "tried"), [(True, list(range(25))), (False, [0, 10, 20])])
def test_some_of_a_list(monkeypatch: pytest.MonkeyPatch, full: bool, tried: list[int]) -> None:
    monkeypatch.setattr(effort, "FULL", full)
    assert effort.some(list(range(25))) == tried
    assert effort.cases(25) == (25 if full else 2)
    assert effort.cases(3) == (3 if full else 1)
