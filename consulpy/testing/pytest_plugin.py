"""The pytest plugin: a whole Consul as a fixture. docs/testing.md.

Nothing of consulpy or Twisted is imported in a test run that uses none of the fixtures.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from consulpy.testing.agent_cluster import Cluster, ClusterMember
    from consulpy.testing.consul import Consul
    from consulpy.testing.coroutines import AsyncConsul
    from consulpy.testing.pytest_agents import Agents

_MARK: Final = "consul"
_HELP: Final = (
    "what the fixtures of consulpy are: 'inprocess' (the default), 'process' (consulpy as a program), the PATH of a "
    "Consul-compatible program, or the URL of an agent that runs"
)
_SECTIONS: Final[pytest.StashKey[Callable[[], list[tuple[str, str]]]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--consul` and `--consul-keep-log`."""
    group = parser.getgroup("consulpy")
    group.addoption("--consul", default="inprocess", metavar="HOW", help=_HELP)
    group.addoption("--consul-keep-log", metavar="DIR", default=None, help="keep the logs of agents in this directory")


class _PlainImports:
    """Finds the modules of consulpy, ahead of pytest's finder.

    That compiles every module of a distribution that has a plugin anew, with its `assert`s rewritten: 400 modules, some
    seconds of the first fixture, and in each run where PYTHONDONTWRITEBYTECODE is set.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        return PathFinder.find_spec(name, path, target) if name.startswith("consulpy.") else None


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; import consulpy without pytest's changes until the end of the run."""
    text = "consul(datacenter=..., config={...}, port=...): the fixture `consul` is an agent of this test's own"
    config.addinivalue_line("markers", text)
    finder: Any = _PlainImports()
    sys.meta_path.insert(0, finder)
    config.add_cleanup(lambda: sys.meta_path.remove(finder))


@pytest.fixture(scope="session")
def _consul_agents(request: pytest.FixtureRequest) -> Iterator["Agents"]:
    """All agents of the session."""
    from consulpy.testing.pytest_agents import agents_of

    directory = request.config.getoption("--consul-keep-log")
    agents = agents_of(str(request.config.getoption("--consul")), Path(directory) if directory else None)
    yield agents
    agents.close()


@pytest.fixture
def _consul_report(request: pytest.FixtureRequest, _consul_agents: "Agents") -> None:
    """The agents' part of the report of this test, should it fail."""
    request.node.stash[_SECTIONS] = _consul_agents.watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the agents' log, and why members are not alive, to the report of a test that failed."""
    report: pytest.TestReport = yield
    if report.failed and report.when in ("setup", "call"):
        sections = item.stash.get(_SECTIONS, None)
        if sections is not None:
            report.sections.extend(sections())
    return report


@pytest.fixture(scope="session")
def consul_session(_consul_agents: "Agents") -> "Consul":
    """One agent for all tests of the session; nothing resets it but the fixture `consul`."""
    return _consul_agents.session()


@pytest.fixture
def consul(request: pytest.FixtureRequest, _consul_agents: "Agents", _consul_report: None) -> Iterator["Consul"]:
    """A Consul as new: the session's agent, reset; an agent of the test's own under `@pytest.mark.consul(...)`."""
    from consulpy.testing.pytest_agents import wanted_by

    marks = list(request.node.iter_markers(_MARK))
    with _consul_agents.own(wanted_by(marks)) if marks else _consul_agents.clean() as found:
        yield found


@pytest.fixture
def consul_env(consul: "Consul", monkeypatch: pytest.MonkeyPatch) -> "Consul":
    """`consul`, with CONSUL_HTTP_ADDR set for the test."""
    for name, value in consul.env.items():
        monkeypatch.setenv(name, value)
    return consul


@pytest.fixture
def aconsul(consul: "Consul") -> "AsyncConsul":
    """`consul` for coroutines."""
    from consulpy.testing.coroutines import AsyncConsul

    return AsyncConsul(consul.backend)


@pytest.fixture
def consul_client(_consul_agents: "Agents", _consul_report: None) -> Iterator["ClusterMember"]:
    """A client agent, as new, with its server (`consul_client.server`)."""
    with _consul_agents.client() as found:
        yield found


@pytest.fixture
def consul_cluster(_consul_agents: "Agents", _consul_report: None) -> Iterator[Callable[..., "Cluster"]]:
    """`consul_cluster(servers=1, clients=2, **config)`: a cluster that is closed after the test."""
    with _consul_agents.clusters() as make:
        yield make
