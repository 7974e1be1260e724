"""The section `raft` of `consul info`."""

from twisted.internet.task import Clock

from consulpy.agent.build.raft_report import raft_stats
from consulpy.raft.configuration import NONVOTER, Configuration, Server
from tests.unit.raft.test_follower import follower

#: As a real server of 1.8.7 alone in its quorum showed them.
NAMES = (
    "applied_index commit_index fsm_pending last_contact last_log_index last_log_term last_snapshot_index "
    "last_snapshot_term latest_configuration latest_configuration_index num_peers protocol_version "
    "protocol_version_max protocol_version_min snapshot_version_max snapshot_version_min state term"
)


def test_it_has_the_names_of_a_real_server_and_the_servers_in_gos_form() -> None:
    raft = follower(Clock())
    assert raft_stats(raft)["latest_configuration"] == "[]"
    one, two = Server("10.0.0.1:8300", "a"), Server("10.0.0.2:8300", "b", NONVOTER)
    raft.configurations.replace(Configuration([one, two]), 7)
    found = raft_stats(raft)
    assert list(found) == NAMES.split()
    assert found["latest_configuration"] == (
        "[{Suffrage:Voter ID:a Address:10.0.0.1:8300} {Suffrage:Nonvoter ID:b Address:10.0.0.2:8300}]"
    )
