"""What would end real servers is passed on by none of our client agents (servers: test_forwarded.py)."""

from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.rpc.call import ClientCaller
from consulpy.structs.config_entry import ProxyDefaults
from consulpy.structs.config_entry_requests import EntryRequest


class Nobody:
    """Must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize("config", [{"a": None}, {"a": {"b": None}}, {"a": [1, {"b": [None]}]}])
def test_a_client_agent_sends_no_null_to_a_server(config: Any) -> None:
    nobody: Any = Nobody()
    client = ClientCaller(nobody, nobody, Clock(), Random(1))  # type: ignore[arg-type]
    entry = ProxyDefaults(kind="proxy-defaults", name="global", config=config)
    failures: list[Any] = []
    client.call("ConfigEntry.Apply", EntryRequest("dc1", "", "upsert", entry)).addErrback(failures.append)
    failures[0].trap(RPCError)
    assert "is null" in str(failures[0].value)
