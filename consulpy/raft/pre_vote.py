"""The answer to a pre-vote of raft 1.7 (Consul 1.20): would this server vote for the candidate?

Who closes the connection on it, as older servers do, counts as one that refuses: the last newer server of three could
never be elected. Nothing here changes by it: neither term nor vote nor the time of the last contact. Our own candidates
survey the others instead (`consulpy.raft.survey`), by calls that servers of every version answer.
Source: hashicorp/raft 1.7, raft.go, requestPreVote.
"""

from typing import TYPE_CHECKING

from consulpy.raft.messages import RequestPreVote, RequestPreVoteReply

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer


def answer(raft: "RaftServer", request: RequestPreVote) -> RequestPreVoteReply:
    """Whether the candidate would get this server's vote now."""
    configuration = raft.configurations.latest
    reply = RequestPreVoteReply(addr=raft.address, id=raft.server_id, term=raft.term)
    leader = raft.known_leader
    is_known = not configuration.servers or any(server.id == request.id for server in configuration.servers)
    if raft.halted or not is_known or (leader and leader != request.addr) or request.term < raft.term:
        return reply
    reply.term = request.term
    is_voter = not configuration.servers or configuration.is_voter(request.id)
    is_not_older = (request.last_log_term, request.last_log_index) >= raft.unconfirmed.vote_position
    reply.granted = is_voter and is_not_older
    return reply
