"""The agent's own tokens: given by the configuration, changed over HTTP (docs/wire/acl.md section 11)."""

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.defer import Deferred, succeed

#: Names in the HTTP API and in the file of persisted tokens.
NAMES: Final = ("default", "agent", "agent_master", "replication")
#: Names from before 1.4.
OLD_NAMES: Final = {
    "acl_token": "default",
    "acl_agent_token": "agent",
    "acl_agent_master_token": "agent_master",
    "acl_replication_token": "replication",
}


class AgentTokens:
    """What this agent is known by. `persist(tokens)`: keeps those that were set over HTTP; fires when that is done."""

    def __init__(self, persist: Callable[[dict[str, str]], "Deferred[None]"] = lambda _tokens: succeed(None)) -> None:
        self._configured: dict[str, str] = {}
        self._set: dict[str, str] = {}
        self._persist = persist
        #: Raised by each change.
        self.version = 0
        #: Called after each change.
        self.changed: list[Callable[[], None]] = []

    @property
    def default(self) -> str:
        """For requests without a token, DNS, and services that were registered without one."""
        return self._of("default")

    @property
    def agent(self) -> str:
        """For what the agent tells of itself."""
        return self._of("agent") or self.default

    @property
    def agent_master(self) -> str:
        """Rights on this agent alone; it never leaves the agent."""
        return self._of("agent_master")

    @property
    def replication(self) -> str:
        """For reading from the primary datacenter."""
        return self._of("replication")

    def _of(self, name: str) -> str:
        found = self._set.get(name)
        return self._configured.get(name, "") if found is None else found

    def configure(self, tokens: Mapping[str, str], persisted: Mapping[str, str] | None = None) -> None:
        """Take the tokens of the configuration; those that were persisted win over them."""
        self._configured = dict(tokens)
        if persisted:
            self._set.update({name: token for name, token in persisted.items() if name in NAMES})
        self._note()

    def set(self, name: str, token: str) -> "Deferred[None]":
        """Change one; "" removes it; fires when that is kept. KeyError for a name that there is not."""
        name = OLD_NAMES.get(name, name)
        if name not in NAMES:
            raise KeyError(name)
        self._set[name] = token
        kept = self._persist({each: self._set[each] for each in NAMES if self._set.get(each)})
        self._note()
        return kept

    def _note(self) -> None:
        self.version += 1
        for call in self.changed:
            call()
