"""The agent's own tokens, under the names of all versions of Consul."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed

from consulpy.agent.process.token_file import read_tokens, write_tokens
from consulpy.local.tokens import AgentTokens


def test_the_file_of_a_newer_agent_is_read(tmp_path: Path) -> None:
    """`acl-tokens.json` of Consul 1.11 has agent_recovery, that of 1.17 dns."""
    (tmp_path / "acl-tokens.json").write_text('{"agent_recovery": "a", "dns": "b", "agent": "c", "unknown": "d"}')
    tokens = AgentTokens()
    tokens.configure({"agent_master": "old", "default": "e"}, read_tokens(str(tmp_path)))
    assert (tokens.agent_master, tokens.dns, tokens.agent, tokens.default) == ("a", "b", "c", "e")


@pytest.mark.parametrize("name", ["agent_master", "agent_recovery", "acl_agent_master_token"])
def test_one_token_has_the_names_of_all_versions(name: str, tmp_path: Path) -> None:
    stored: list[dict[str, str]] = []

    def persist(found: dict[str, str]) -> "Deferred[None]":
        write_tokens(str(tmp_path), found)
        return succeed(stored.append(found))

    tokens = AgentTokens(persist)
    tokens.set(name, "a")
    assert tokens.agent_master == "a"
    assert stored == [{"agent_master": "a"}]
    assert read_tokens(str(tmp_path)) == {"agent_master": "a"}


def test_what_has_no_token_of_its_own_takes_the_default_one() -> None:
    tokens = AgentTokens()
    tokens.configure({"default": "d"})
    assert (tokens.dns, tokens.of_registrations(from_file=True), tokens.of_registrations(from_file=False)) == ("d",) * 3
    tokens.configure({"default": "d", "dns": "n", "config_file_service_registration": "f"})
    assert (tokens.dns, tokens.of_registrations(from_file=True), tokens.of_registrations(from_file=False)) == (
        "n",
        "f",
        "d",
    )


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        AgentTokens().set("initial_management", "a")
