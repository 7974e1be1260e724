"""The pytest plugin in test runs of their own. Source: docs/testing.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.programs import environment

#: How many test files two processes share.
FILES = 4
MINE = Path(__file__).with_name("mine.py").read_text()
#: Other plugins of this virtual environment that would change what a user sees.
_WITHOUT = ("-p", "no:twisted", "-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cov", "-p", "no:cacheprovider")


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's directory, with an empty configuration: not this repository's."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(directory: Path, *flags: str, plugins: tuple[str, ...] = _WITHOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *flags], cwd=directory, env=environment(),
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Numbers of the last line: passed, failed, skipped, error."""
    return {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout[-300:])
    }


@pytest.mark.long
def test_a_file_passes_with_agents_in_process(user: Path) -> None:
    (user / "test_mine.py").write_text(MINE)
    done = run(user)
    assert counts(done) == {"passed": 18}, done.stdout


@pytest.mark.long
def test_it_passes_with_consulpy_as_a_program(user: Path) -> None:
    (user / "test_mine.py").write_text(MINE)
    done = run(user, "--consul=process", "-rs")
    assert counts(done) == {"passed": 17, "skipped": 1}, done.stdout
    assert "partitioned without root" in done.stdout


@pytest.mark.peers
def test_it_passes_with_real_consul(user: Path) -> None:
    (user / "test_mine.py").write_text(MINE)
    done = run(user, f"--consul={shutil.which('consul')}", "-rs")
    assert counts(done) == {"passed": 17, "skipped": 1}, done.stdout


@pytest.mark.parametrize("kind", ["consulpy", pytest.param("consul", marks=pytest.mark.peers)])
@pytest.mark.long
def test_an_agent_that_runs_keeps_all_that_is_not_the_tests(user: Path, kind: str) -> None:
    """What needs an agent of its own is skipped, with the reason."""
    from consulpy.testing.members import AgentProcess, consulpy_command

    command = consulpy_command() if kind == "consulpy" else [kind]
    agent = AgentProcess(command, "there", server=True)
    try:
        agent.begin_start()
        agent.wait()
        agent.run(lambda operations: operations.write_key("mine", b"1"))
        agent.run(lambda operations: operations.register("theirs", port=1))
        (user / "test_mine.py").write_text(MINE)
        (user / "test_clear.py").write_text("""
def test_clear(consul):
    consul.kv["own"] = b"1"
    consul.kv.clear()
    assert "own" not in consul.kv and "mine" in consul.kv
""")
        done = run(user, f"--consul={agent.url}", "-rs")
        assert counts(done) == {"passed": 9, "skipped": 10}, done.stdout
        assert "has its own settings" in done.stdout
        assert "is not the tests' own" in done.stdout
        assert agent.run(lambda operations: operations.list_keys()) == ["mine"]
        assert agent.run(lambda operations: operations.catalog()).keys() == {"consul", "theirs"}
    finally:
        agent.close()


def test_where_dns_answers_is_what_the_agent_says_of_itself() -> None:
    from consulpy.testing.backends import dns_of

    assert dns_of({"DNSAddrs": ["tcp://10.0.0.1:8600", "udp://10.0.0.1:8601"]}, "web") == ("10.0.0.1", 8601)
    assert dns_of({"DNSAddrs": ["udp://0.0.0.0:8600"]}, "web") == ("web", 8600)
    assert dns_of({"DNSAddrs": ["udp://[::]:8600"]}, "web") == ("web", 8600)
    assert dns_of({"DNSAddrs": None}, "web") is dns_of({}, "web") is None


def test_nothing_is_imported_in_a_run_that_uses_no_fixture(user: Path) -> None:
    (user / "test_none.py").write_text("""
import sys
def test_it():
    assert not [name for name in sys.modules if name.partition(".")[0] in ("twisted", "zope", "msgpack")]
    assert {name for name in sys.modules if name.startswith("consulpy")} == {
        "consulpy", "consulpy.testing", "consulpy.testing.pytest_plugin"}
""")
    done = run(user, "--strict-markers")
    assert counts(done) == {"passed": 1}, done.stdout


def test_modules_of_consulpy_are_imported_as_they_were_compiled(user: Path) -> None:
    """pytest marks each package of a distribution with a plugin (here, an editable one, by hand) for its rewriting."""
    (user / "conftest.py").write_text("import pytest\npytest.register_assert_rewrite('consulpy')\n")
    (user / "test_it.py").write_text("""
def test_it():
    import consulpy.backoff
    assert type(consulpy.backoff.__spec__.loader).__name__ == "SourceFileLoader"
""")
    done = run(user)
    assert counts(done) == {"passed": 1}, done.stdout


@pytest.mark.long
def test_the_report_of_a_failed_test_has_the_log_and_why(user: Path) -> None:
    (user / "test_bad.py").write_text("""
def test_log(consul):
    consul.register("web", check="passing")
    assert False

def test_why(consul_cluster):
    cluster = consul_cluster(servers=1, clients=1)
    cluster["client-1"].crash()
    cluster.until(lambda: cluster.members()["client-1"] == "failed")
    assert False

def test_fine(consul):
    pass
""")
    done = run(user, "--consul-keep-log", "logs")
    assert counts(done) == {"failed": 2, "passed": 1}, done.stdout
    log = r"-+ log of consulpy-\w+ -+\n(?:.*\n)*?.*\[INFO\]  agent"
    assert re.search(log, done.stdout), done.stdout
    assert re.search(r"-+ why client-1 -+\nclient-1 is failed: process-gone: .*client-1", done.stdout), done.stdout
    names = {path.name for path in (user / "logs").iterdir()}
    assert {"server-1.log", "client-1.log"} < names
    done = run(user, "--consul=process", "--consul-keep-log=more")
    assert counts(done) == {"failed": 2, "passed": 1}, done.stdout
    assert re.search(r"-+ log of consul-\w+ -+\n", done.stdout), done.stdout
    assert {"server-1.log", "client-1.log"} < {path.name for path in (user / "more").iterdir()}


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--consul=nowhere",), "expected inprocess, process, a program or an http:// URL, not 'nowhere'"),
        (("--consul=./data",), "data cannot be run"),
        (("--consul=http://127.0.0.1:1",), "onnection refused"),
        ((f"--consul={sys.executable}",), "ended instead of starting"),
    ],
)
def test_what_is_no_consul_is_an_error_at_once(user: Path, flags: tuple[str, ...], text: str) -> None:
    (user / "test_it.py").write_text("def test_it(consul): consul.kv['a'] = b'1'\n")
    (user / "data").write_bytes(b"\0")
    (user / "data").chmod(0o755)
    done = run(user, *flags)
    assert "passed" not in counts(done), done.stdout
    assert text in done.stdout + done.stderr


def test_a_mark_with_a_mistake_says_so(user: Path) -> None:
    (user / "test_it.py").write_text("""
import pytest
@pytest.mark.consul(datacentre="x")
def test_one(consul): pass
@pytest.mark.consul(config={"datacentre": "x"})
def test_two(consul): pass
@pytest.mark.consul(port=1)
def test_three(consul): pass
@pytest.mark.consul(config="dc2")
def test_four(consul): pass
def test_five(consul_cluster): consul_cluster(servers=1, clients="2")
""")
    done = run(user)
    assert counts(done)["error"] >= 2, done.stdout
    assert "takes datacenter, config and port by name, not datacentre" in done.stdout
    assert "did you mean datacenter?" in done.stdout
    assert "config is a mapping of Consul's keys to values, not 'dc2'" in done.stdout
    assert "no fewer than 0 clients, not 1 and '2'" in done.stdout


@pytest.mark.long
def test_with_xdist(user: Path) -> None:
    for number in range(FILES):
        (user / f"test_{number}.py").write_text(MINE.partition("@pytest.mark.consul(datacenter")[0])
    without = ("-p", "no:twisted", "-p", "no:asyncio", "-p", "no:cov", "-p", "no:cacheprovider")
    done = run(user, "-n", "2", plugins=without)
    assert counts(done) == {"passed": 7 * FILES}, done.stdout


@pytest.mark.long
def test_with_pytest_asyncio(user: Path) -> None:
    (user / "test_it.py").write_text("""
import asyncio, json, urllib.request, pytest
from consulpy.testing import agent

def get(url):
    return json.load(urllib.request.urlopen(url, timeout=60))

@pytest.mark.asyncio
async def test_the_fixture(aconsul):
    await aconsul.register("web", port=80, check="passing")
    assert len(await asyncio.to_thread(get, aconsul.url + "/v1/health/service/web?passing")) == 1
    await aconsul.put("key", b"value")
    assert await aconsul.get("key") == b"value"

@pytest.mark.asyncio
async def test_it_is_as_new(aconsul, consul):
    assert await aconsul.services() == {"consul": []} and await aconsul.keys() == []
    consul.kv["key"] = b"plain"
    assert await aconsul.get("key") == b"plain"
    await aconsul.reset()
    assert await aconsul.keys() == []

@pytest.mark.asyncio
@pytest.mark.consul(datacenter="mars")
async def test_the_mark(aconsul):
    assert (await asyncio.to_thread(get, aconsul.url + "/v1/catalog/datacenters")) == ["mars"]

@pytest.mark.asyncio
async def test_a_block():
    async with agent() as one, agent() as two:
        await one.put("key", b"1")
        assert await two.keys() == []
""")
    without = ("-p", "no:twisted", "-p", "no:xdist", "-p", "no:cov", "-p", "no:cacheprovider")
    for how in ("inprocess", "process"):
        done = run(user, f"--consul={how}", plugins=without)
        assert counts(done) == {"passed": 4}, done.stdout


@pytest.mark.parametrize("reactor", ["default", "asyncio"])
@pytest.mark.long
def test_with_pytest_twisted(user: Path, reactor: str) -> None:
    """Its reactor is the agents' too; it starts late."""
    (user / "test_it.py").write_text("""
import json, threading, urllib.request, pytest, pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from consulpy.testing import agent, run_agent

def get(url):
    return json.load(urllib.request.urlopen(url, timeout=60))

@pytest_twisted.ensureDeferred
async def test_the_fixture(aconsul):
    await aconsul.register("web", port=80, check="passing")
    assert len(await deferToThread(get, aconsul.url + "/v1/health/service/web?passing")) == 1

@pytest_twisted.inlineCallbacks
def test_it_is_as_new(consul):
    assert consul.services() == {"consul": []}
    consul.register("web", port=80, check="passing")
    found = yield deferToThread(get, consul.url + "/v1/health/service/web?passing")
    assert len(found) == 1

@pytest.mark.consul(datacenter="mars")
def test_the_mark(consul):
    consul.kv["key"] = b"1"
    assert dict(consul.kv) == {"key": b"1"}

@pytest_twisted.ensureDeferred
async def test_in_a_thread(consul, consul_cluster):
    def work():
        consul.register("db", port=1)
        return consul.services()
    assert (await deferToThread(work)) == {"consul": [], "db": []}

def test_a_cluster(consul_cluster):
    with pytest.raises(RuntimeError, match="reactor's own thread"):
        consul_cluster(clients=1)

@pytest.fixture
def pair(consul_cluster):
    return consul_cluster(clients=1)

def test_a_cluster_of_a_fixture(pair):
    assert pair.members() == {"server-1": "alive", "client-1": "alive"}

@pytest_twisted.ensureDeferred
async def test_a_block():
    before = set(reactor.getReaders())
    async with agent() as consul:
        await consul.put("key", b"1")
        assert set(reactor.getReaders()) > before
    with run_agent() as consul:
        consul.kv["key"] = b"1"

def test_there_is_one_reactor_only():
    assert "consulpy-reactor" not in [thread.name for thread in threading.enumerate()]
""")
    plugins = ("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cov", "-p", "no:cacheprovider")
    done = run(user, "--reactor", reactor, plugins=plugins)
    assert counts(done) == {"passed": 8}, done.stdout


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) drops what root may")
@pytest.mark.long
def test_without_root(user: Path) -> None:
    (user / "test_mine.py").write_text(MINE)
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = subprocess.run(
        [*without, sys.executable, "-m", "pytest", "-q", "-k", "service or cluster", *_WITHOUT], cwd=user,
        env=environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert counts(done) == {"passed": 4}, done.stdout + done.stderr
