"""`consulpy catalog`."""

import pytest

from consulpy.cli.main import main
from consulpy.client import Client


def test_nodes_of_a_service_have_a_row_for_each_instance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = {"Node": "a", "ID": "12345678-9", "Address": "10.0.0.1", "Datacenter": "dc1", "NodeMeta": {"rack": "7"}}
    monkeypatch.setattr(Client, "service_nodes", lambda *_, **__: [instance, instance])
    assert main(["catalog", "nodes", "-service", "web"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [["a", "12345678", "10.0.0.1", "dc1"]] * 2

    assert main(["catalog", "nodes", "-service", "web", "-detailed"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [["a", "12345678-9", "10.0.0.1", "dc1", "rack=7"]] * 2
