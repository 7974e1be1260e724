"""The defaults of the configuration are those of a real agent."""

from pathlib import Path

import pytest

from consulpy.config.flags import AgentFlags
from consulpy.config.load import read
from consulpy.gocompat.duration import parse_duration
from tests.fakes.config import FakeHost
from tests.peers.cli import RealAgent


@pytest.mark.peers
def test_our_defaults_are_consuls(tmp_path: Path) -> None:
    """What a real agent reports as its configuration; keys of its own in `/v1/agent/self`."""
    with RealAgent("127.36.0.21", tmp_path) as real:
        theirs = real.json("/v1/agent/self")["DebugConfig"]
    ours = read(AgentFlags(values={"data_dir": "/x"}), FakeHost())
    for name, value in {
        "CheckUpdateInterval": ours.check_update_interval_s,
        "DNSMaxStale": ours.dns_config.max_stale_s,
        "DNSRecursorTimeout": ours.dns_config.recursor_timeout_s,
        "DefaultQueryTime": ours.default_query_time_s,
        "MaxQueryTime": ours.max_query_time_s,
        "LeaveDrainTime": ours.performance.leave_drain_time_s,
        "RPCHoldTimeout": ours.performance.rpc_hold_timeout_s,
        "RPCHandshakeTimeout": ours.limits.rpc_handshake_timeout_s,
        "RetryJoinIntervalLAN": ours.retry_interval_s,
    }.items():
        assert parse_duration(theirs[name]) == value, name
    for name, plain in {
        "CheckOutputMaxSize": ours.check_output_max_size_bytes,
        "DNSARecordLimit": ours.dns_config.a_record_limit,
        "DNSUDPAnswerLimit": ours.dns_config.udp_answer_limit,
        "DNSDomain": ours.domain,
        "DNSPort": ours.ports.dns,
        "HTTPSPort": ours.ports.https,
        "HTTPMaxConnsPerClient": ours.limits.http_max_conns_per_client,
        "RPCMaxConnsPerClient": ours.limits.rpc_max_conns_per_client,
        "RPCMaxBurst": ours.limits.rpc_max_burst,
        "RPCRateLimit": ours.limits.rpc_rate,
        "KVMaxValueSize": ours.limits.kv_max_value_size_bytes,
        "EncryptVerifyIncoming": ours.encrypt_verify_incoming,
        "PrimaryDatacenter": ours.primary_datacenter,
    }.items():
        assert theirs[name] == plain, name
