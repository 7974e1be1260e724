"""Records what a real agent of Consul 1.8.7 makes of configuration files: run it as root, where `consul` is installed.

    ip netns exec NAME python -m tests.unit.config.record_files

Each row of `files.json`: how the text is written, the text, whether `validate` and an agent take it, and then what the
agent says of its settings, services and checks. `test_files` compares ours.
"""

import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

PLACE: Final = Path(__file__).with_name("files.json")
TEXTS: Final = Path(__file__).with_name("files.txt")
#: Settings under the names of `/v1/agent/self`.
SETTINGS: Final = ("Datacenter", "NodeName", "HTTPSPort", "NodeMeta", "RetryJoinLAN", "SessionTTLMin")
_API: Final = "http://127.0.0.1:18500"
_BASE: Final = 'bind_addr = "127.0.0.1"\n'
_PORTS: Final = {"http": 18500, "dns": 18600, "server": 18300, "serf-lan": 18301, "serf-wan": 18302, "grpc": -1}


def texts() -> list[tuple[str, str]]:
    """(format, text) of each row: separated by lines such as `--- hcl`; `\\n` at a text's end is not part of it."""
    rows = []
    for part in TEXTS.read_text(encoding="utf-8").split("\n--- ")[1:]:
        head, _, text = part.partition("\n")
        rows.append((head.strip(), text.replace("<BOM>", "\ufeff")))
    return rows


def observed(suffix: str, text: str) -> dict[str, Any]:
    """What the real one makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"x.{suffix}").write_text(text, encoding="utf-8")
        (Path(folder) / "a.hcl").write_text(f'data_dir = "{folder}/data"\n{_BASE}')
        validated = subprocess.run(["consul", "validate", folder], capture_output=True, text=True, check=False)
        row: dict[str, Any] = {"format": suffix, "text": text, "valid": validated.returncode == 0}
        ports = [word for name, port in _PORTS.items() for word in (f"-{name}-port", str(port))]
        command = ["consul", "agent", "-dev", "-config-dir", folder, *ports]
        agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            row["agent"] = _asked(agent)
        finally:
            agent.terminate()
            agent.wait()
    return row


def _asked(agent: "subprocess.Popen[bytes]") -> dict[str, Any] | None:
    """Settings, services and checks; None if it ends."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and agent.poll() is None:
        try:
            found = _get("/v1/agent/self")["DebugConfig"]
            if agent.poll() is None:
                return {
                    "settings": {name: found[name] for name in SETTINGS},
                    "services": _get("/v1/agent/services"),
                    "checks": {key: _steady(check) for key, check in _get("/v1/agent/checks").items()},
                }
        except OSError:
            time.sleep(0.05)
    return None


def _steady(check: dict[str, Any]) -> dict[str, Any]:
    """A check without what depends on the moment."""
    return {
        name: check[name] for name in ("CheckID", "Name", "Notes", "ServiceID", "ServiceName", "ServiceTags", "Type")
    }


def _get(path: str) -> Any:
    with urllib.request.urlopen(f"{_API}{path}", timeout=5) as answer:
        return json.load(answer)


if __name__ == "__main__":
    rows = [observed(suffix, text) for suffix, text in texts()]
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    PLACE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
