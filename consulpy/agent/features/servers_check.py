"""The check of `doctor` that concerns servers: their port 8300, TLS on it, and whether they have a leader."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, TimeoutError, gatherResults  # noqa: A004
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectionRefusedError  # noqa: A004
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from consulpy.agent.process.monotonic import wall_clock
from consulpy.diagnosis.causes import Cause, Finding, Verdict
from consulpy.errors import RPCError
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.members import Status

if TYPE_CHECKING:
    from consulpy.agent.parts import AgentParts

#: Number of servers that are checked.
SERVERS_MAX: Final = 5
#: How long a connection, and then a call, may take, in seconds.
CONNECT_S: Final = 1.5
CALL_S: Final = 1.8
#: An own certificate that ends within this time is a warning.
ENDS_SOON: Final = timedelta(days=7)
#: What is wrong with a call by TLS.
_TLS: Final = (Cause.TLS_MISMATCH, Cause.TLS_UNTRUSTED, Cause.TLS_EXPIRED, Cause.UNKNOWN)
#: A call without arguments: an empty map.
_EMPTY: Final = b"\x80"


@dataclass(slots=True)
class _Reply:
    """Reply of one server: its leader's address (may be empty), or the error."""

    server: ServerInfo
    leader: str | None
    verdict: Verdict | None


class ServersCheck:
    """The servers as this agent calls them."""

    def __init__(self, agent: "AgentParts", reactor: Any) -> None:
        self._agent = agent
        self._reactor = reactor

    async def run(self) -> list[Finding]:
        """One finding for each server that can't be called, one about the leader, one about our own certificate."""
        agent = self._agent
        living = [member for member in agent.lan.members.values() if member.status is Status.ALIVE]
        servers = [server for server in map(server_of, living) if server is not None]
        if not servers:
            text = "This is a client agent, and there is no server among its living members."
            return [Finding("servers", "fail", Cause.NO_SERVERS, text, "join a server: set retry_join to its address")]
        others = [server for server in servers if server.name != agent.node_name][:SERVERS_MAX]
        replies: list[_Reply] = await gatherResults(
            [Deferred.fromCoroutine(self._ask(server)) for server in others], consumeErrors=True
        )
        findings = [Finding.of(f"rpc {each.server.name}", each.verdict) for each in replies if each.verdict is not None]
        findings += [
            Finding.passed(f"rpc {each.server.name}", f"{each.server.name} answers at {each.server.rpc_address}.")
            for each in replies
            if each.verdict is None
        ]
        own = await self._certificate()
        if any(each.status == "fail" for each in own):  # that servers refuse it follows
            findings = [each for each in findings if each.cause not in _TLS]
        findings += own
        return [*findings, *self._leader(servers, replies)]

    def _leader(self, servers: list[ServerInfo], replies: list[_Reply]) -> list[Finding]:
        said = [each.leader for each in replies if each.leader is not None]
        if self._agent.server is not None:
            said.append(self._agent.server.leader_address)
        rivals = self._rivals(servers, replies)
        if len(rivals) > 1:
            text = f"{' and '.join(rivals)} were each started to lead alone (bootstrap), and each leads."
            fix = f"keep one of them; start the others anew with an empty data_dir and without bootstrap: {rivals[-1]}"
            return [Finding("leader", "fail", Cause.TWO_BOOTSTRAPPED, text, fix)]
        leader = next((each for each in said if each), "")
        if leader:
            return [Finding.passed("leader", f"The leader is {leader}.")]
        unreachable = [each.server.name for each in replies if each.verdict is not None]
        if not said or unreachable:  # that follows from what is said of those servers
            return []
        expect = max((server.expect for server in servers), default=0)
        wanted = f", {expect} are expected (bootstrap_expect)" if expect else ""
        text = f"The servers have no leader: {len(servers)} are there{wanted}."
        failed = [server_of(member) for member in self._agent.lan.members.values() if member.status is Status.FAILED]
        gone = sorted(server.name for server in failed if server is not None)
        if gone:
            fix = f"bring back {', '.join(gone)}, or recover the quorum (raft/peers.json)"
        elif expect > len(servers):
            fix = f"start {expect - len(servers)} more servers that join these"
        else:
            fix = "bring back the servers that are gone, or recover the quorum (raft/peers.json)"
        return [Finding("leader", "fail", Cause.NO_LEADER, text, fix)]

    def _rivals(self, servers: list[ServerInfo], replies: list[_Reply]) -> list[str]:
        """The servers that were started to lead alone, and say that they lead."""
        leaders = {each.server.name: each.leader for each in replies}
        if self._agent.server is not None:
            leaders[self._agent.node_name] = self._agent.server.leader_address
        return [each.name for each in servers if each.bootstrap and leaders.get(each.name) == each.rpc_address]

    async def _ask(self, server: ServerInfo) -> _Reply:
        why = await self._opens(server)
        if why:
            text = f"{server.name} is alive by gossip, and its RPC port {server.rpc_address} {why}."
            fix = f"let TCP to {server.rpc_address} pass (firewall, security group), and look at the agent there"
            return _Reply(server, None, Verdict(Cause.RPC_UNREACHABLE, text, fix=fix))
        pool = self._agent.connections
        calling: Deferred[Any] = pool.call(server, "Status.Leader", _EMPTY)
        try:
            leader = await calling.addTimeout(CALL_S, self._reactor)
        except (RPCError, TimeoutError) as error:
            error_text = str(error) if isinstance(error, RPCError) else f"no answer in {CALL_S:g} s"
            return _Reply(server, None, self._of_call(server, error_text))
        return _Reply(
            server, leader.decode("utf-8", "replace") if isinstance(leader, bytes) else str(leader or ""), None
        )

    async def _opens(self, server: ServerInfo) -> str:
        """Why a connection does not open; empty if it does. Closed again at once, which servers do not mind."""
        factory: Any = Factory.forProtocol(Protocol)
        factory.noisy = False
        kind = TCP6ClientEndpoint if ":" in server.address else TCP4ClientEndpoint
        endpoint = kind(self._reactor, server.address, server.port, timeout=CONNECT_S)
        try:
            protocol: Any = await endpoint.connect(factory)
        except Exception as error:  # whatever the network says
            return why_not_open(error)
        protocol.transport.loseConnection()
        return ""

    def _of_call(self, server: ServerInfo, error: str) -> Verdict:
        """A call that failed although the port opens: mostly TLS."""
        tls = self._agent.tls_to(server)
        where = f"{server.name} at {server.rpc_address}"
        cause, what = tls_cause(error, tls, bool(self._agent.config.cert_file))
        text = f"{where} can't be called: {what} ({error})."
        fixes = {
            Cause.TLS_MISMATCH: "set verify_outgoing, ca_file, cert_file and key_file alike on all agents",
            Cause.TLS_UNTRUSTED: f"sign the certificates of {server.name} and of this agent by the CA in ca_file",
            Cause.TLS_EXPIRED: f"renew the certificate of {server.name} (consulpy tls cert create); check the clocks",
        }
        return Verdict(cause, text, fix=fixes.get(cause, f"look into the log of {server.name}"))

    async def _certificate(self) -> list[Finding]:
        path = self._agent.config.cert_file
        if not path:
            return []
        pool = self._reactor.getThreadPool()
        finding: Finding = await deferToThreadPool(
            self._reactor, pool, own_certificate, path, wall_clock(self._reactor)()
        )
        return [finding]


def why_not_open(error: Exception) -> str:
    """The network's error for a connection that was not established."""
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(next(iter(error.args), None), Failure):  # Twisted's for one that ended before it was open: by ICMP
        return "does not open (rejected on the way, by a firewall perhaps)"
    return f"does not open ({str(error).rstrip('.')})"


def tls_cause(error: str, uses_tls: bool, has_certificate: bool) -> tuple[Cause, str]:
    """The TLS fault that the text of a failed call points to. `uses_tls`: the call was made with TLS."""
    text = error.lower()
    if re.search(r"expired|not yet valid", text):
        return Cause.TLS_EXPIRED, "a certificate is out of date, or not valid yet"
    if (
        uses_tls
        and not has_certificate
        and re.search(r"handshake failure|bad certificate|certificate required|making call: eof", text)
    ):
        return Cause.TLS_MISMATCH, "it wants a client certificate, and this agent has none (cert_file)"
    if re.search(
        r"certificate verify failed|unknown ca|unknown_ca|bad certificate|not valid for|(hostname|ip address) mismatch|"
        # OpenSSL's reasons of a verification that failed
        r"self.signed certificate|unable to (get|verify|decrypt|decode)|signature failure|invalid ca |invalid purpose|"
        r"unsuitable certificate|certificate (revoked|rejected|not trusted|chain too long)",
        text,
    ):
        return Cause.TLS_UNTRUSTED, "a certificate is not signed by the other side's CA, or is for another name"
    if "certificate required" in text:
        return Cause.TLS_MISMATCH, "it wants a client certificate"
    if uses_tls and "making call" in text:
        return Cause.UNKNOWN, "it closes the connection after the TLS handshake"
    if uses_tls and re.search(r"wrong version|handshake|eof|closed|gone|reset|lost", text):
        return Cause.TLS_MISMATCH, "this agent calls with TLS, and it does not speak it"
    if not uses_tls and re.search(r"eof|closed|gone|reset|lost|shutdown", text):
        return Cause.TLS_MISMATCH, "this agent calls without TLS, and it wants TLS"
    return Cause.UNKNOWN, "its port opens, and the call failed"


def own_certificate(path: str, now_s: float) -> Finding:
    """Whether our own certificate is valid now, and in a week."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        text = f"Our certificate {path} can't be read: {error}."
        return Finding("certificate", "warn", Cause.UNKNOWN, text, "set cert_file to a certificate in PEM")
    now, begin, end = (
        datetime.fromtimestamp(now_s, UTC),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    span = f"from {begin:%Y-%m-%d %H:%M} until {end:%Y-%m-%d %H:%M} (UTC), now it is {now:%Y-%m-%d %H:%M}"
    fix = f"renew {path} (consulpy tls cert create) and reload the agent; check the clock of this host"
    if not begin <= now <= end:
        return Finding("certificate", "fail", Cause.TLS_EXPIRED, f"Our certificate {path} is valid {span}.", fix)
    if end - now < ENDS_SOON:
        return Finding("certificate", "warn", Cause.TLS_EXPIRED, f"Our certificate {path} ends soon: {span}.", fix)
    return Finding.passed("certificate", f"Our certificate {path} is valid {span}.")
