"""The servers of a datacenter, real ones included, are one WAN pool by themselves, and its keys rotate on all."""

from pathlib import Path

import pytest

from tests.peers.programs import Host, eventually, hosts

ONE, TWO, REAL = "127.0.64.1", "127.0.64.2", "127.0.64.3"


def start(host: Host, program: str, address: str, key: str, *more: str) -> None:
    flags = ["-server", "-node", address, "-bind", address, "-client", address, "-encrypt", key]
    flags += ["-retry-join", ONE, "-retry-interval", "1s"]
    host.start(address, program, "agent", *flags, "-data-dir", str(host.directory / address), *more)


def wan(host: Host, address: str) -> dict[str, str]:
    rows = host.output("consulpy", "members", "-wan", f"-http-addr={address}:8500").splitlines()[1:]
    return {row.split()[0]: row.split()[2] for row in rows}


@pytest.mark.peers
def test_servers_find_each_other_in_the_wan_pool_and_its_keys_rotate(tmp_path: Path) -> None:
    with hosts(tmp_path, None) as (host,):
        old, new = (host.output("consulpy", "keygen").strip() for _ in range(2))
        start(host, "consulpy", ONE, old, "-bootstrap-expect=1")
        start(host, "consulpy", TWO, old)
        start(host, "consul", REAL, old)
        everybody = {f"{address}.dc1": "alive" for address in (ONE, TWO, REAL)}
        for address in (ONE, TWO, REAL):
            eventually(lambda address=address: wan(host, address) == everybody, f"{address} sees the WAN pool")

        for words in (("-install", new), ("-use", new), ("-remove", old)):
            host.run("consulpy", "keyring", f"-http-addr={TWO}:8500", *words)

        listed = host.output("consulpy", "keyring", "-list", f"-http-addr={ONE}:8500")
        assert listed.count(f"{new} [3/3]") == 2
        assert old not in listed
