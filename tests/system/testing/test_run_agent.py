"""`consulpy.testing` in programs of their own, as a test suite has it. Source: docs/testing.md."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.peers.programs import environment

#: What every program begins with.
_BEGIN = """
import asyncio, json, sys, threading, time, urllib.request, urllib.error
from consulpy.testing import agent, run_agent

def get(url):
    return json.load(urllib.request.urlopen(url, timeout=60))

def put(url, body=b""):
    return urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=60).read()
"""


def run(program: str, directory: Path) -> None:
    """The program ends without an error; it holds its own assertions and says `done` last."""
    text = _BEGIN + textwrap.dedent(program) + "\nprint('done')\n"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=directory, env=environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), done.stderr


@pytest.mark.long
def test_with_access_control_the_tests_own_requests_may_do_everything(tmp_path: Path) -> None:
    run(
        """
        import consulpy.testing
        acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": "secret"}}
        async def in_a_coroutine():
            async with agent(config={"acl": acl}) as consul:
                await consul.register("web")
                assert "web" in await consul.services()
        with run_agent(config={"acl": acl}) as consul:
            for _ in range(2):
                consul.register("web", check="passing")
                consul.kv["key"] = b"value"
                assert (consul.services(), dict(consul.kv)) == ({"consul": [], "web": []}, {"key": b"value"})
                assert list(consul.members().values()) == ["alive"]
                consul.reset()
            assert get(consul.url + "/v1/catalog/nodes") == []
        asyncio.run(in_a_coroutine())
        del acl["tokens"]
        with run_agent(config={"acl": acl}) as consul:
            try: consul.kv["key"] = b"value"
            except Exception as error: assert "403" in str(error)
            else: raise AssertionError
        try:
            with run_agent(config="x"): pass
        except Exception as error: assert "mapping of Consul's keys" in str(error)
        else: raise AssertionError
        with consulpy.testing.Cluster() as cluster:
            try: cluster["n1"]
            except KeyError as error: assert "no agent of this cluster is called 'n1': they are server-1" in str(error)
            else: raise AssertionError
        """,
        tmp_path,
    )


def test_plain_code_has_a_whole_consul(tmp_path: Path) -> None:
    run(
        """
        import socket
        with run_agent() as consul:
            more = {"address": "10.0.0.1", "tags": ["a"], "meta": {"k": "v"}, "check": "passing"}
            consul.register("web", id="web-1", port=80, **more)
            (found,) = get(consul.url + "/v1/health/service/web?passing")
            service = found["Service"]
            assert (service["ID"], service["Port"], service["Address"]) == ("web-1", 80, "10.0.0.1")
            assert (service["Tags"], service["Meta"]) == (["a"], {"k": "v"})
            consul.register("web", id="web-1", port=81, check="critical")
            assert get(consul.url + "/v1/health/service/web?passing") == []
            assert get(consul.url + "/v1/catalog/service/web")[0]["ServicePort"] == 81
            assert consul.services() == {"consul": [], "web": []}
            consul.deregister("web-1")
            assert consul.services() == {"consul": []}
            assert list(consul.members().values()) == ["alive"]
            assert consul.env == {"CONSUL_HTTP_ADDR": consul.url.removeprefix("http://")}
            assert consul.agent.url == consul.url
            with socket.create_connection(consul.dns): pass
            for wrong in (lambda: consul.register("x", check="fine"), lambda: consul.register("x", tags="ab")):
                try: wrong()
                except ValueError: pass
                else: raise AssertionError
            try: consul.deregister("none")
            except KeyError: pass
            else: raise AssertionError
            wrong_keys = ((1, b"", TypeError), ("a", 3, TypeError), ("a", None, TypeError), ("", b"", ValueError))
            for key, value, kind in wrong_keys:
                try: consul.kv[key] = value
                except kind as error: assert "expected" in str(error)
                else: raise AssertionError
            assert dict(consul.kv) == {} and 1 not in consul.kv
        """,
        tmp_path,
    )


@pytest.mark.long
def test_keys_are_a_mapping(tmp_path: Path) -> None:
    run(
        """
        with run_agent() as consul:
            kv = consul.kv
            kv["a/b"], kv["\u00fc ?#"] = b"\\0", "text"
            assert dict(kv) == {"a/b": b"\\0", "\u00fc ?#": b"text"}
            assert len(kv) == 2 and "a/b" in kv and "a" not in kv and kv.get("a") is None
            assert kv.pop("a/b") == b"\\0"
            for missing in (lambda: kv["a/b"], lambda: kv.__delitem__("a/b"), lambda: kv[""]):
                try: missing()
                except KeyError: pass
                else: raise AssertionError
            kv.clear()
            assert list(kv) == []
        """,
        tmp_path,
    )


def test_a_reset_agent_is_as_new(tmp_path: Path) -> None:
    """Everything that clients write is gone, waiting queries wake, and the index goes on."""
    run(
        """
        def state(url):
            node = get(url + "/v1/agent/self")["Config"]["NodeName"]
            paths = ["/v1/catalog/services", "/v1/agent/services", "/v1/agent/checks", "/v1/session/list", "/v1/query",
                     "/v1/config/service-defaults", "/v1/connect/intentions", "/v1/event/list", "/v1/kv/?keys"]
            found = {path: get(url + path) for path in paths}
            found["nodes"] = [each["Node"] for each in get(url + "/v1/catalog/nodes")]
            found["checks"] = [each["CheckID"] for each in get(url + "/v1/health/node/" + node)]
            return found

        with run_agent(config={"services": [{"name": "own", "port": 1}]}) as consul:
            url = consul.url
            while "own" not in consul.services(): time.sleep(0.01)
            before, name = state(url), get(url + "/v1/agent/self")["Config"]["NodeName"]
            index = int(urllib.request.urlopen(url + "/v1/catalog/services").headers["X-Consul-Index"])
            consul.register("web", port=80, check="passing")
            consul.kv["key"] = b"value"
            session = json.loads(put(url + "/v1/session/create", b'{"LockDelay": "60s"}'))["ID"]
            assert put(url + "/v1/kv/locked?acquire=" + session).strip() == b"true"
            foreign = {"Node": "foreign", "Address": "10.0.0.9", "Service": {"Service": "db"}}
            put(url + "/v1/catalog/register", json.dumps(foreign).encode())
            put(url + "/v1/config", b'{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}')
            put(url + "/v1/agent/maintenance?enable=true")
            put(url + "/v1/agent/check/register", b'{"Name": "mem", "TTL": "10s"}')
            put(url + "/v1/event/fire/deploy")
            for body in (b'{"Name": "q", "Service": {"Service": "web"}}',):
                urllib.request.urlopen(urllib.request.Request(url + "/v1/query", body, method="POST"))
            body = b'{"SourceName": "a", "DestinationName": "b", "Action": "deny"}'
            urllib.request.urlopen(urllib.request.Request(url + "/v1/connect/intentions", body, method="POST"))
            assert state(url) != before
            answered = []
            def wait(path):
                try: answered.append(urllib.request.urlopen(url + path, timeout=30).status)
                except urllib.error.HTTPError as error: answered.append(error.code)
            while "mem" not in str(get(url + "/v1/health/node/" + name)): time.sleep(0.01)
            time.sleep(0.3)
            def index_of(path):
                return int(urllib.request.urlopen(url + path).headers["X-Consul-Index"])
            paths = ["/v1/catalog/services", "/v1/catalog/service/web", "/v1/kv/key"]
            paths = [f"{path}?index={index_of(path)}" for path in paths]
            waiting = [threading.Thread(target=wait, args=(path,)) for path in paths]
            now = index_of("/v1/catalog/services")
            for each in waiting: each.start()
            time.sleep(0.3)
            assert answered == []
            consul.reset()
            for each in waiting: each.join(10)
            assert sorted(answered) == [200, 200, 404], answered
            while "own" not in consul.services(): time.sleep(0.01)
            assert state(url) == before, (state(url), before)
            later = int(urllib.request.urlopen(url + "/v1/catalog/services").headers["X-Consul-Index"])
            assert later > now > index
            assert get(url + "/v1/agent/self")["Config"]["NodeName"] == name and consul.url == url
            session = json.loads(put(url + "/v1/session/create"))["ID"]
            assert put(url + "/v1/kv/locked?acquire=" + session).strip() == b"true"
            consul.register("web", port=80, check="passing")
            assert len(get(url + "/v1/health/service/web?passing")) == 1
        """,
        tmp_path,
    )


@pytest.mark.long
def test_tokens_are_reset_too(tmp_path: Path) -> None:
    run(
        """
        acl = {"enabled": True, "default_policy": "allow", "tokens": {"master": "00000000-1111-2222-3333-444444444444"}}
        with run_agent(config={"acl": acl, "primary_datacenter": "dc1"}) as consul:
            def ask(method, path, body=b""):
                headers = {"X-Consul-Token": "00000000-1111-2222-3333-444444444444"}
                request = urllib.request.Request(consul.url + path, body or None, headers, method=method)
                return json.load(urllib.request.urlopen(request))
            for _ in range(2):
                assert len(ask("GET", "/v1/acl/tokens")) == 2
                ask("PUT", "/v1/acl/token", b"{}")
                ask("PUT", "/v1/acl/policy", b'{"Name": "p"}')
                consul.reset()
            assert len(ask("GET", "/v1/acl/tokens")) == 2 and len(ask("GET", "/v1/acl/policies")) == 1
        """,
        tmp_path,
    )


@pytest.mark.long
def test_several_agents_are_open_at_once_and_share_nothing(tmp_path: Path) -> None:
    run(
        """
        with run_agent() as one, run_agent(config={"datacenter": "two"}) as two:
            one.kv["key"] = b"one"
            assert dict(two.kv) == {} and one.members().keys() != two.members().keys()
            with run_agent() as three:
                three.kv["key"] = b"three"
            assert dict(one.kv) == {"key": b"one"}
        threads = {thread.name for thread in threading.enumerate()}
        assert threads == {"MainThread", "consulpy-reactor"}, threads
        """,
        tmp_path,
    )


@pytest.mark.long
def test_nothing_of_the_program_is_touched(tmp_path: Path) -> None:
    """No reactor is chosen, no signal, environment, collector or observer changed; a program's own reactor may come."""
    run(
        """
        import gc, os, signal, logging
        def state():
            handlers = [signal.getsignal(number) for number in signal.valid_signals()]
            collector = gc.get_threshold(), gc.isenabled(), sys.getswitchinterval()
            return handlers, collector, dict(os.environ), logging.root.handlers
        before = state()
        with run_agent() as consul:
            consul.register("a:b/c", check="warning")
            get(consul.url + "/v1/catalog/service/a%3Ab%2Fc")
            try: get(consul.url + "/v1//kv/x")
            except urllib.error.HTTPError: pass
            assert state() == before
        assert "twisted.internet.reactor" not in sys.modules
        from twisted.internet import asyncioreactor
        asyncioreactor.install()
        from twisted.internet import reactor
        with run_agent() as consul:
            consul.kv["a"] = b"1"
        """,
        tmp_path,
    )


@pytest.mark.long
def test_it_works_in_any_thread_and_after_a_fork(tmp_path: Path) -> None:
    run(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        with run_agent() as consul:
            def work(number): consul.kv[f"key-{number}"] = b"x"
            threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
            for each in threads: each.start()
            for each in threads: each.join()
            assert len(consul.kv) == 20
            child = os.fork()
            if not child:
                with run_agent() as own:
                    own.kv["a"] = b"1"
                    os._exit(0 if dict(own.kv) == {"a": b"1"} and len(get(consul.url + "/v1/kv/?keys")) == 20 else 1)
            assert os.waitpid(child, 0)[1] == 0
        """,
        tmp_path,
    )


def test_coroutines_of_asyncio(tmp_path: Path) -> None:
    """Without and with AsyncioSelectorReactor on the running loop; then it is the program's reactor that is used."""
    run(
        """
        async def main():
            async with agent() as consul, agent(config={"datacenter": "two"}) as two:
                await consul.register("web", port=80, check="passing")
                assert await consul.services() == {"consul": [], "web": []}
                await consul.put("key", "value")
                assert await consul.get("key") == b"value" and await consul.keys() == ["key"]
                assert await two.keys() == []
                await consul.delete("key")
                try: await consul.get("key")
                except KeyError: pass
                else: raise AssertionError
                await consul.deregister("web")
                await consul.reset()
                assert list((await consul.members()).values()) == ["alive"]
                found = await asyncio.to_thread(get, consul.url + "/v1/status/leader")
                assert found
        asyncio.run(main())

        async def with_reactor():
            from twisted.internet import asyncioreactor
            asyncioreactor.install(asyncio.get_running_loop())
            from twisted.internet import reactor
            reactor.startRunning(installSignalHandlers=False)
            before = len(reactor.getReaders())
            async with agent() as consul:
                assert len(reactor.getReaders()) > before
                await consul.register("web", port=80, check="passing")
                assert await asyncio.to_thread(get, consul.url + "/v1/status/leader")
            assert len(reactor.getReaders()) == before
            with run_agent() as consul:
                consul.register("web", port=80)
                assert consul.services() == {"consul": [], "web": []}
        asyncio.run(with_reactor())
        """,
        tmp_path,
    )


@pytest.mark.long
def test_the_programs_own_reactor_is_used_if_it_runs(tmp_path: Path) -> None:
    run(
        """
        from twisted.internet import reactor, task, threads
        from twisted.internet.defer import ensureDeferred
        async def main(reactor):
            await task.deferLater(reactor, 0)
            before = len(reactor.getReaders())
            with run_agent() as consul:
                assert len(reactor.getReaders()) > before
                consul.register("web", port=80, check="passing")
                consul.kv["key"] = b"value"
                consul.reset()
                assert dict(consul.kv) == {}
                assert await threads.deferToThread(get, consul.url + "/v1/status/leader")
            async with agent() as consul:
                await consul.register("web")
                assert await consul.services() == {"consul": [], "web": []}
            def in_thread():
                with run_agent() as consul:
                    consul.register("web")
                    return len(reactor.getReaders()), consul.services()
            readers, services = await threads.deferToThread(in_thread)
            assert readers > before and services == {"consul": [], "web": []}
            assert len(reactor.getReaders()) == before
            assert "consulpy-reactor" not in {thread.name for thread in threading.enumerate()}
        try: task.react(lambda reactor: ensureDeferred(main(reactor)))
        except SystemExit as end: assert end.code == 0
        """,
        tmp_path,
    )


@pytest.mark.long
def test_trial_and_unittest(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        _BEGIN
        + textwrap.dedent("""
        import unittest
        from twisted.trial.unittest import TestCase
        from twisted.internet.threads import deferToThread

        class Plain(unittest.TestCase):
            def setUp(self):
                self.consul = self.enterContext(run_agent())
            def test_it(self):
                self.consul.register("web", check="passing")
                self.assertEqual(len(get(self.consul.url + "/v1/health/service/web?passing")), 1)

        class Trial(TestCase):
            def test_without_the_reactor(self):
                with run_agent() as consul:
                    consul.kv["key"] = b"1"
                    self.assertTrue(get(consul.url + "/v1/kv/key"))
            async def test_with_the_reactor(self):
                async with agent() as consul:
                    await consul.register("web", check="passing")
                    self.assertTrue(await deferToThread(get, consul.url + "/v1/health/service/web?passing"))
            async def test_plain_block_with_the_reactor(self):
                with run_agent() as consul:
                    consul.kv["key"] = b"1"
                    self.assertTrue(await deferToThread(get, consul.url + "/v1/kv/key"))
        """)
    )
    command = [sys.executable, "-m", "twisted.trial", "test_mine"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "successes=4" in done.stdout


@pytest.mark.long
def test_a_program_that_stops_its_clocks_does_not_stop_the_agent(tmp_path: Path) -> None:
    """As freezegun does: the functions of `time` are replaced, also where modules hold them by name."""
    run(
        """
        import consulpy.testing.reactors
        sleep = time.sleep
        real = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "time_ns")}
        for module in list(sys.modules.values()):
            for key, value in list(vars(module).items()):
                for name, function in real.items():
                    if value is function: setattr(module, key, lambda: 1e9)
        with run_agent() as consul:
            consul.register("web", port=80, check="passing")
            assert consul.services() == {"consul": [], "web": []}
            body = json.dumps({"Name": "ttl", "TTL": "1s", "Status": "passing"}).encode()
            put(consul.url + "/v1/agent/check/register", body)
            for _ in range(200):
                if get(consul.url + "/v1/agent/checks")["ttl"]["Status"] == "critical": break
                sleep(0.05)
            else: raise AssertionError
        """,
        tmp_path,
    )


def test_a_mistake_in_the_settings_is_said_and_nothing_stays(tmp_path: Path) -> None:
    run(
        """
        from consulpy.errors import ConfigError
        try:
            with run_agent(config={"datacentre": "x"}): raise AssertionError
        except ConfigError as error:
            assert "did you mean datacenter?" in str(error)
        """,
        tmp_path,
    )
