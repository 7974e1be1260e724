"""What an operator does not want answered is a 403 (texts seen on a real agent)."""

import pytest

from consulpy.http.api.access import AccessRules

BLOCKED = "Endpoint is blocked by agent configuration"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/agent/self", BLOCKED),
        ("/v1/kv/", BLOCKED),
        ("/v1/kv/a/b", BLOCKED),
        ("/v1/agent/members", ""),
        ("/v1/status/leader", ""),
    ],
)
def test_prefixes_of_paths_are_blocked(path: str, answer: str) -> None:
    guard = AccessRules(["/v1/agent/self", "/v1/kv/"])
    for method in ("GET", "PUT", "OPTIONS"):
        assert guard.refuses(method, path, "127.0.0.1") == answer


def test_writes_come_from_where_they_may() -> None:
    guard = AccessRules([], ["10.0.0.0/8", "fd00::/8"])
    for client in ("10.1.2.3", "fd00::1"):
        assert guard.refuses("PUT", "/v1/kv/a", client) == ""
    for client in ("192.168.1.1", "2001:db8::1", "", "nonsense"):
        assert guard.refuses("DELETE", "/v1/kv/a", client) == "Access is restricted"
        assert guard.refuses("GET", "/v1/kv/a", client) == ""


def test_nothing_is_refused_unless_asked_for() -> None:
    assert AccessRules().refuses("PUT", "/v1/kv/a", "192.0.2.1") == ""
