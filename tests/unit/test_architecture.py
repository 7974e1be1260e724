"""The rules of docs/architecture.md: imports point down the layers, without circles; I/O stays where names say it.

And that of CONTRIBUTING.md on the length of files and functions.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

LAYERS = [
    {"backoff", "clock", "connections", "errors", "group_commit", "log", "log_limit", "piece_sender", "shared_result"},
    {"codec", "metrics"},
    {"gocompat"},
    {"structs"},
    {"filter"},
    {"connect"},
    {"memberlist", "state", "acl", "tls", "client"},
    {"serf", "raft", "proxy"},
    {"rpc"},
    {"local", "checks", "leader", "diagnosis"},
    {"dns", "http"},
    {"config"},
    {"agent"},
    {"service"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
LAYER = {package: level for level, packages in enumerate(LAYERS) for package in packages}

#: Packages that are made of I/O.
FREE = {"checks", "cli", "client", "agent", "service", "testing", "tls", "proxy", "__main__"}
#: File or folder names that announce I/O, by what they may import.
NETWORK_NAMES = {"transport", "listener", "dialer", "protocol", "channel", "net", "connection"}
DISK_NAMES = {"disk"}
HOST_NAMES = {"host"}
PROCESS_NAMES = {"process"}
NETWORK = ("twisted", "socket", "ssl", "asyncio", "treq")
DISK = ("sqlite3", "os", "pathlib", "shutil", "fcntl", "tempfile")
PROCESS = ("subprocess", "signal", "threading", "multiprocessing")
NO_IO = (
    "twisted.internet.defer",
    "twisted.internet.interfaces",
    "twisted.internet.error",
    "twisted.logger",
    "twisted.python.failure",
    "twisted.names.dns",
    "twisted.names.error",
    "twisted.web.http",
    "twisted.web.http_headers",
    "twisted.web.server.NOT_DONE_YET",
    "twisted.web.resource",
    "threading.Lock",
    "threading.RLock",
    "threading.local",
    "os.path",
    "os.urandom",
)
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "consulpy"
MAX_LINES_OF_FILE, MAX_LINES_OF_FUNCTION = 450, 70


@dataclass(frozen=True)
class Module:
    path: str
    package: str
    dotted: str
    imports: tuple[str, ...]
    opens_files: bool

    @property
    def names(self) -> set[str]:
        """The file's name and those of the folders that it is in."""
        return {part.removesuffix(".py") for part in Path(self.path).parts[1:]}


@cache
def modules() -> list[Module]:
    return list(parsed_modules())


def parsed_modules() -> Iterator[Module]:
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        package = relative.parts[0].removesuffix(".py")
        if package == "__init__":
            continue
        imports, opens = [], False
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imports += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                imports += [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                opens = opens or node.func.id == "open"
        dotted = ".".join(("consulpy", *relative.with_suffix("").parts)).removesuffix(".__init__")
        yield Module(str(relative), package, dotted, tuple(imports), opens)


def test_imports_point_down() -> None:
    for module in modules():
        for name in module.imports:
            parts = name.split(".")
            if parts[0] == "consulpy" and len(parts) > 1 and parts[1] in LAYER and parts[1] != module.package:
                lower = LAYER[parts[1]] < LAYER[module.package]
                assert lower, f"{module.path}: {module.package} may not import {name}"


def test_every_package_has_a_layer() -> None:
    packages = {module.package for module in modules()}
    assert packages <= LAYER.keys(), f"give these packages a layer: {packages - LAYER.keys()}"


def test_no_file_imports_itself_through_others() -> None:
    """Imports for type checking count too: who must know each other's types belong in one file, or share a Protocol."""
    known = {module.dotted for module in modules()}
    graph = {module.dotted: targets(module, known) for module in modules()}
    finished: set[str] = set()
    for start in graph:
        path: list[str] = []
        visit(graph, start, path, finished)


def targets(module: Module, known: set[str]) -> list[str]:
    """The modules that it imports; `from package import name` means the submodule if there is one."""
    found = []
    for name in module.imports:
        target = name if name in known else name.rpartition(".")[0]
        if target in known and target != module.dotted:
            found.append(target)
    return found


def visit(graph: dict[str, list[str]], here: str, path: list[str], finished: set[str]) -> None:
    if here in finished:
        return
    assert here not in path, "imports in a circle: " + " -> ".join([*path[path.index(here) :], here])
    path.append(here)
    for target in graph[here]:
        visit(graph, target, path, finished)
    path.pop()
    finished.add(here)


@pytest.mark.parametrize(
    ("kind", "libraries", "names"),
    [
        ("the network", NETWORK, NETWORK_NAMES | HOST_NAMES | PROCESS_NAMES),
        ("disks", DISK, DISK_NAMES | HOST_NAMES | PROCESS_NAMES),
        ("processes and threads", PROCESS, PROCESS_NAMES),
    ],
)
def test_the_name_of_a_file_says_what_it_touches(kind: str, libraries: tuple[str, ...], names: set[str]) -> None:
    wrong = []
    for module in modules():
        if module.package in FREE or module.names & names or any(n.endswith(suffixes(names)) for n in module.names):
            continue
        for name in module.imports:
            if belongs(name, libraries) and not belongs(name, NO_IO):
                wrong.append(f"{module.path}: {name}")
        if module.opens_files and kind == "disks":
            wrong.append(f"{module.path}: open()")
    assert not wrong, f"files whose names do not say that they touch {kind}:\n" + "\n".join(wrong)


def suffixes(names: set[str]) -> tuple[str, ...]:
    return (*(("_file",) if names >= DISK_NAMES else ()), *(("_exec",) if names >= PROCESS_NAMES else ()))


def belongs(name: str, libraries: tuple[str, ...]) -> bool:
    return any(name == library or name.startswith(library + ".") for library in libraries)


def statements(block: ast.AST) -> Iterator[ast.AST]:
    """All statements in a block; expressions, which are most of a tree, are not looked at."""
    for field in ("body", "orelse", "handlers", "finalbody"):
        for statement in getattr(block, field, ()):
            yield statement
            yield from statements(statement)


def test_every_test_file_has_tests() -> None:
    """One that lost them, in a merge for instance, fails nothing by itself."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    assert files
    empty = [str(path.relative_to(ROOT)) for path in files if "def test_" not in path.read_text()]
    assert not empty, f"test files without a test: {empty}"


def test_files_and_functions_are_short() -> None:
    too_long = []
    for folder in ("benchmarks", "consulpy", "deploy", "docs", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if path.read_bytes().count(b"\n") > MAX_LINES_OF_FILE:
                too_long.append(str(relative))
            for node in statements(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    if node.end_lineno - node.lineno >= MAX_LINES_OF_FUNCTION:
                        too_long.append(f"{relative}: {node.name}")
    assert not too_long, f"split these by concept: {too_long}"
