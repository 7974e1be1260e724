"""Ask a real Consul the questions of `catalog.py`, and keep its answers (tests/vectors/dns/answers.json).

    python tests/unit/dns/record_answers.py 127.0.1.1

starts a server at that address for each configuration, and ends it. Needs `consul` and nothing else.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import catalog

VECTORS = Path(__file__).parents[2] / "vectors" / "dns" / "answers.json"


def call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method)) as answer:
        return json.loads(answer.read())


def ask(address: str, question: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.5)
        udp.connect((address, 8600))
        udp.send(question)
        try:
            return udp.recv(65535).hex()
        except TimeoutError:
            return ""


def record(address: str, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(catalog.CONFIGS[name]))
        command = f"consul agent -server -bootstrap-expect 1 -node agent -log-level err -data-dir {folder}/data"
        command += f" -bind {address} -client {address} -config-file {folder}/config.json"
        server = subprocess.Popen(command.split(), stdout=subprocess.DEVNULL)
        try:
            while True:
                time.sleep(0.5)
                try:
                    (found,) = call("GET", f"http://{address}:8500/v1/catalog/nodes")
                    if found["Meta"]:  # its own anti-entropy has run
                        break
                except (OSError, ValueError):
                    continue
            for body in catalog.NODES + catalog.MANY:
                call("PUT", f"http://{address}:8500/v1/catalog/register", body)
            answers = {label: ask(address, question) for label, question in catalog.questions(name).items()}
            sizes = {}
            domain = catalog.CONFIGS[name].get("domain", "consul.").rstrip(".")
            for word in ("A", "SRV"):
                for size in catalog.SIZES:
                    answer = bytes.fromhex(
                        ask(address, catalog.packet(f"many.service.{domain}", catalog.TYPES[word], size))
                    )
                    sizes[f"{word} {size}"] = {
                        "size": len(answer),
                        "answers": int.from_bytes(answer[6:8], "big"),
                        "truncated": bool(answer[2] & 2),
                    }
            return {"agent": address, "answers": answers, "sizes": sizes}
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    recorded = {name: record(sys.argv[1], name) for name in catalog.CONFIGS}
    about = "answers of real Consul 1.8.7 over UDP to the packets of tests/harness/catalog.py; empty: no answer"
    VECTORS.write_text(json.dumps({"about": about} | recorded, indent=1) + "\n")
