"""A model of a newer real server, hashicorp/raft 1.7: it asks for pre-votes before each election but after TimeoutNow.

Written from docs/wire/raft.md and the public protocol, without the machine's code. Servers of 1.1.2 (`GoServer`) close
the connection on a pre-vote, here they give no answer: that counts as refused.
"""

from collections.abc import Callable
from typing import Any

from consulpy.raft.configuration import Server
from consulpy.raft.messages import Request, RequestPreVote, RequestPreVoteReply
from tests.unit.raft.go_model import E, GoServer


class NewerServer(GoServer):
    """One server of raft 1.7."""

    #: When it last refused a pre-vote of a server that its newest configuration, perhaps never to be committed, lacks.
    refused_stranger_s = -1e9

    def _stand(self, *, transfer: bool) -> None:
        if transfer:
            super()._stand(transfer=True)
            return
        self.state, self.leader = "candidate", ""
        self.epoch += 1
        epoch, term = self.epoch, self.term + 1
        votes: set[str] = set()

        def count(server_id: str) -> None:
            votes.add(server_id)
            if self.epoch == epoch and len(votes) >= self.latest.majority:
                self._elect_self()

        def answered(server: Server, reply: Any) -> None:
            if self.epoch != epoch or not isinstance(reply, RequestPreVoteReply):
                return
            if reply.term > term:
                self._follow(reply.term)
            elif reply.granted:
                count(server.id)

        request = RequestPreVote(
            addr=self.address,
            id=self.server_id,
            last_log_index=self.last_index,
            last_log_term=self.last_term,
            term=term,
        )
        for server in self.latest.voters:
            if server.id != self.server_id:
                self.network.call(self, server, request, lambda reply, server=server: answered(server, reply))

        def again() -> None:
            if self.epoch == epoch:
                self._stand(transfer=False)

        self.clock.callLater(E * (1 + self.rng.random()), again)
        if self.latest.is_voter(self.server_id):
            count(self.server_id)

    def _elect_self(self) -> None:
        super()._stand(transfer=False)

    def receive(self, request: Request, body: Any, respond: Callable[[Any, str], None]) -> None:
        if isinstance(request, RequestPreVote):
            respond(self._pre_vote(request), "")
        else:
            super().receive(request, body, respond)

    def _pre_vote(self, request: RequestPreVote) -> RequestPreVoteReply:
        reply = RequestPreVoteReply(addr=self.address, id=self.server_id, term=self.term)
        known = {server.id for server in self.latest.servers}
        if known and request.id not in known:
            self.refused_stranger_s = self.clock.seconds()
            return reply
        if self.leader and self.leader != request.addr:
            return reply
        if request.term < self.term:
            return reply
        reply.term = max(self.term, request.term)
        if known and not self.latest.is_voter(request.id):
            return reply
        if self.last_term > request.last_log_term:
            return reply
        if self.last_term == request.last_log_term and self.last_index > request.last_log_index:
            return reply
        reply.granted = True
        return reply
