"""Prometheus scrapes what we list (`consul_sd_configs`)."""

import json
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually
from tests.system.clients.conftest import Agents, tool
from tests.system.clients.services import deregister, register, web

pytestmark = pytest.mark.peers

LISTEN = "127.78.0.30:9090"

CONFIG: dict[str, Any] = {
    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
    "scrape_configs": [
        {
            "job_name": "found",
            "consul_sd_configs": [
                {"refresh_interval": "200ms", "services": ["metered", "consul"], "allow_stale": True}
            ],
            "relabel_configs": [
                {"source_labels": ["__meta_consul_service"], "regex": "metered", "action": "keep"},
                {"source_labels": ["__meta_consul_service"], "target_label": "service"},
                {"source_labels": ["__meta_consul_node"], "target_label": "node"},
                {"source_labels": ["__meta_consul_dc"], "target_label": "dc"},
                {"source_labels": ["__meta_consul_tags"], "target_label": "tags"},
            ],
        },
    ],
}


def found() -> dict[str, dict[str, Any]]:
    """The targets that Prometheus has, by what it would scrape."""
    return {each["scrapeUrl"]: each for each in ask(f"{LISTEN}/api/v1/targets")["data"]["activeTargets"]}


def test_targets_follow_the_service(agents: Agents, host: Host) -> None:
    program = tool("prometheus")
    for search in CONFIG["scrape_configs"][0]["consul_sd_configs"]:
        search["server"] = agents.client
    config = host.directory / "prometheus.yml"
    config.write_text(json.dumps(CONFIG))
    host.start(
        "prometheus", program, f"--config.file={config}", f"--storage.tsdb.path={host.directory}/data",
        f"--web.listen-address={LISTEN}",
    )  # fmt: skip
    eventually(lambda: found() == {}, "Prometheus runs and finds nothing")

    with web("127.78.0.31", "requests_total 42\n") as port:
        service = register(agents.client, "metered", 1, "127.78.0.31", port, "blue", "slow")
        url = f"http://127.78.0.31:{port}/metrics"
        target = eventually(lambda: found().get(url, {}).get("lastScrape", "0") > "0002" and found()[url], "a scrape")
        labels = target["labels"]
        assert (labels["service"], labels["node"], labels["dc"]) == ("metered", "tools-client", "dc1")
        assert labels["tags"] == ",blue,slow,"
        assert (target["discoveredLabels"]["__meta_consul_service_id"], target["health"]) == (service, "up")
        rows = eventually(lambda: ask(f"{LISTEN}/api/v1/query?query=requests_total")["data"]["result"], "the value")
        assert rows[0]["value"][1] == "42"
        deregister(agents.client, service)
        eventually(lambda: found() == {}, "the target goes with the service")
