"""The house rules of docs/architecture.md as tests: imports point down the floors, and I/O stays in its rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

FLOORS = [
    {"clock", "connections", "errors"},
    {"codec", "metrics"},
    {"gocompat"},
    {"structs"},
    {"filter"},
    {"memberlist", "state", "acl", "tls", "client"},
    {"serf", "raft"},
    {"rpc"},
    {"local", "checks", "leader"},
    {"dns", "http"},
    {"config"},
    {"agent"},
    {"service"},
    {"cli", "testing"},
    {"__main__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
MAY_DO_IO = {"transport", "tls", "client", "checks", "http", "agent", "service", "cli", "testing"}
IO = ("twisted", "socket", "asyncio", "klein", "treq")
NOT_IO = (
    "twisted.internet.interfaces",
    "twisted.internet.defer",
    "twisted.python.failure",
    "twisted.names.dns",
    "twisted.logger",
)
PACKAGE = Path(__file__).parents[2] / "consulpy"


def modules() -> Iterator[tuple[str, str, str, list[str]]]:
    """(path, room, module name, imported names) of every file of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        names = []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
        yield str(relative), room, relative.stem, names


def test_imports_point_down() -> None:
    for path, room, _, names in modules():
        for name in names:
            parts = name.split(".")
            if parts[0] == "consulpy" and len(parts) > 1 and parts[1] in FLOOR and parts[1] != room:
                assert FLOOR[parts[1]] < FLOOR[room], f"{path}: {room} may not import {name}"


def test_input_and_output_stay_at_the_edges() -> None:
    for path, room, stem, names in modules():
        if {room, stem, Path(path).parent.name} & MAY_DO_IO:
            continue
        for name in names:
            allowed = not name.startswith(IO) or name.startswith(NOT_IO)
            assert allowed, f"{path} may not import {name}: only {sorted(MAY_DO_IO)} do I/O"


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room for _, room, _, _ in modules()}
    assert rooms <= FLOOR.keys(), f"give these rooms a floor: {rooms - FLOOR.keys()}"
