"""A reload reads the configuration again: services come and go, a mistake changes nothing."""

import signal
from pathlib import Path

import pytest

from consulpy.tls.authority import create_authority, create_certificate
from tests.peers.programs import ask, eventually, hosts

OURS = "127.45.0.1"
WITH_WEB = 'service { name = "web" port = 80 }'


@pytest.mark.parametrize("way", ["consulpy agent", "twistd -n --pidfile= consulpy"])
def test_a_reload_applies_what_the_files_say_now(tmp_path: Path, way: str) -> None:
    file = tmp_path / "agent.hcl"
    file.write_text("")
    with hosts(tmp_path, None) as (host,):
        flags = ["--node", "a", "--bind", OURS, "--client", OURS, "--data-dir", "data", "--server"]
        program = host.start("a", *way.split(), *flags, "--bootstrap-expect", "1", "--config-file", str(file))
        eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
        assert "web" not in ask(f"{OURS}:8500/v1/agent/services")

        file.write_text(WITH_WEB)
        assert host.output("consulpy", "reload", f"-http-addr={OURS}:8500") == "Configuration reload triggered\n"
        assert "web" in ask(f"{OURS}:8500/v1/agent/services")
        eventually(lambda: ask(f"{OURS}:8500/v1/catalog/service/web"), "the catalog has it")

        file.write_text(WITH_WEB + "\nno_such_key = 1")
        refused = host.run("consulpy", "reload", f"-http-addr={OURS}:8500", check=False)
        assert refused.returncode == 1
        assert "no_such_key" in refused.stdout + refused.stderr
        assert "web" in ask(f"{OURS}:8500/v1/agent/services")

        assert "[DEBUG]" not in program.output
        file.write_text(WITH_WEB + '\nlog_level = "DEBUG"\nlimits { http_max_conns_per_client = 7 }\ndomain = "other"')
        host.output("consulpy", "reload", f"-http-addr={OURS}:8500")
        ask(f"{OURS}:8500/v1/agent/services")
        if way == "consulpy agent":
            eventually(lambda: "[DEBUG] agent.http: Request finished" in program.output, "debug lines")
            (said,) = [line for line in program.output.splitlines() if "log_level" in line]
            assert "reloaded: applied: " in said
            assert "limits.http_max_conns_per_client" in said
            assert said.endswith("not applied before a restart: domain")

        file.write_text("")
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: "web" not in ask(f"{OURS}:8500/v1/agent/services"), "SIGHUP reloads too")


def test_changed_files_are_read_by_themselves(tmp_path: Path) -> None:
    """`auto_reload_config` of Consul 1.12: also files that come into a directory, and links that lead elsewhere."""
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "agent.hcl").write_text("auto_reload_config = true")
    with hosts(tmp_path, None) as (host,):
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        program = host.start("a", "consulpy", "agent", *flags, "-config-dir", str(folder))
        eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
        (tmp_path / "web").write_text(WITH_WEB)
        (folder / "web.hcl").symlink_to(tmp_path / "web")
        eventually(lambda: "web" in ask(f"{OURS}:8500/v1/agent/services"), "the new file is read")
        (folder / "agent.hcl").write_text("auto_reload_config = true\nno_such_key = 1")
        eventually(lambda: "no_such_key" in program.output, "a mistake is named")
        (folder / "web.hcl").unlink()
        (folder / "agent.hcl").write_text("auto_reload_config = true")
        eventually(lambda: "web" not in ask(f"{OURS}:8500/v1/agent/services"), "the file is gone")


def test_checks_use_the_certificates_that_a_reload_read(tmp_path: Path) -> None:
    """As they are renewed: no check waits for a restart."""
    authority = create_authority(30)
    pair = create_certificate(authority, "server", "server", names=["a"], days=30)
    (tmp_path / "server.pem").write_bytes(pair.certificate + pair.key)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "other.pem").write_bytes(create_authority(30).certificate)
    port = f"{OURS}:9443"
    settings = """enable_agent_tls_for_checks = true
        check { id = "tls" name = "tls" http = "https://%s/" interval = "1s" }
        ca_file = "%s"
    """
    file = tmp_path / "agent.hcl"
    file.write_text(settings % (port, tmp_path / "other.pem"))
    with hosts(tmp_path, None) as (host,):
        host.start(
            "web", "openssl", "s_server", "-quiet", "-www", "-accept", port, "-cert", str(tmp_path / "server.pem")
        )
        flags = ["--node", "a", "--bind", OURS, "--client", OURS, "--data-dir", "data", "--server"]
        host.start("a", "consulpy", "agent", *flags, "--bootstrap-expect", "1", "--config-file", str(file))

        def output() -> str:
            return str(ask(f"{OURS}:8500/v1/agent/checks")["tls"]["Output"])

        eventually(lambda: "x509: certificate signed by unknown authority" in output(), "the server is not trusted")
        file.write_text(settings % (port, tmp_path / "ca.pem"))
        host.output("consulpy", "reload", f"-http-addr={OURS}:8500")
        eventually(lambda: "HTTP GET" in output() and "200 ok" in output(), "the server is trusted")
