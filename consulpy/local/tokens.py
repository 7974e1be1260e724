"""The agent's own ACL tokens: from the configuration, or set over HTTP (docs/wire/acl.md section 11)."""

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.defer import Deferred, succeed

#: Names in the HTTP API and in the file of persisted tokens.
NAMES: Final = ("default", "agent", "agent_master", "replication", "dns", "config_file_service_registration")
#: Names used before Consul 1.4, and since 1.11.
OTHER_NAMES: Final = {
    "agent_recovery": "agent_master",
    "acl_agent_recovery_token": "agent_master",
    "acl_token": "default",
    "acl_agent_token": "agent",
    "acl_agent_master_token": "agent_master",
    "acl_replication_token": "replication",
}


class AgentTokens:
    """The agent's tokens. `persist(tokens)`: stores those set over HTTP; fires when they are stored."""

    def __init__(self, persist: Callable[[dict[str, str]], "Deferred[None]"] = lambda _tokens: succeed(None)) -> None:
        self._configured: dict[str, str] = {}
        self._set: dict[str, str] = {}
        self._persist = persist
        #: The token of requests without one, of DNS, and of services registered without one.
        self.default = ""
        #: Incremented by each change.
        self.version = 0
        #: Called after each change.
        self.changed: list[Callable[[], None]] = []

    @property
    def dns(self) -> str:
        """The token of DNS."""
        return self._token("dns") or self.default

    def of_registrations(self, from_file: bool) -> str:
        """The token of services and checks registered without one; `from_file`: in a configuration file."""
        return (self._token("config_file_service_registration") if from_file else "") or self.default

    @property
    def agent(self) -> str:
        """The token for the agent's own registration and coordinate."""
        return self._token("agent") or self.default

    @property
    def agent_master(self) -> str:
        """A token valid on this agent only; it is never sent."""
        return self._token("agent_master")

    @property
    def replication(self) -> str:
        """The token for replication from the primary datacenter."""
        return self._token("replication")

    def _token(self, name: str) -> str:
        found = self._set.get(name)
        return self._configured.get(name, "") if found is None else found

    def configure(self, tokens: Mapping[str, str], persisted: Mapping[str, str] | None = None) -> None:
        """Set the tokens of the configuration; `persisted` ones take precedence."""
        self._configured = dict(tokens)
        if persisted:
            names = {name: OTHER_NAMES.get(name, name) for name in persisted}
            self._set.update({names[name]: token for name, token in persisted.items() if names[name] in NAMES})
        self._notify()

    def set(self, name: str, token: str) -> "Deferred[None]":
        """Set a token ("" removes it); fires when it is stored. Raises KeyError for an unknown name."""
        name = OTHER_NAMES.get(name, name)
        if name not in NAMES:
            raise KeyError(name)
        self._set[name] = token
        stored = self._persist({each: self._set[each] for each in NAMES if self._set.get(each)})
        self._notify()
        return stored

    def reset(self) -> None:
        """Drop the tokens set over HTTP; what is stored is replaced by the next one that is set."""
        if self._set:
            self._set.clear()
            self._notify()

    def _notify(self) -> None:
        self.default = self._token("default")
        self.version += 1
        for call in self.changed:
            call()
