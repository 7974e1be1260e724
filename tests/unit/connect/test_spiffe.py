"""SPIFFE ids and the names in certificates. Source: Consul 1.8.7 (docs/wire/connect.md)."""

import pytest

from consulpy.connect.spiffe import AgentId, BadSpiffeId, ServiceId, SigningId, parse

HOST = "98359594-3fd1-a06d-86e5-dbcf064a22fd.consul"


@pytest.mark.parametrize(
    ("identity", "uri"),
    [
        (ServiceId(HOST, "dc1", "web"), f"spiffe://{HOST}/ns/default/dc/dc1/svc/web"),
        (ServiceId(HOST, "dc1", "CF-Web"), f"spiffe://{HOST}/ns/default/dc/dc1/svc/CF-Web"),
        (ServiceId(HOST, "dc1", "a blank"), f"spiffe://{HOST}/ns/default/dc/dc1/svc/a%20blank"),
        (ServiceId(HOST, "dc1", "cf-ü"), f"spiffe://{HOST}/ns/default/dc/dc1/svc/cf-%C3%BC"),
        (ServiceId(HOST, "dc1", "web", "other"), f"spiffe://{HOST}/ns/other/dc/dc1/svc/web"),
        (AgentId(HOST, "dc2", "node-1"), f"spiffe://{HOST}/agent/client/dc/dc2/id/node-1"),
        (SigningId(HOST), f"spiffe://{HOST}"),
    ],
)
def test_an_identity_is_a_uri_and_back(identity: ServiceId | AgentId | SigningId, uri: str) -> None:
    assert identity.uri == uri
    assert parse(uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        f"spiffe://{HOST}/ns/default/dc/dc1/svc/",
        f"spiffe://{HOST}/ns/default/dc/dc1/svc/a/b",
        f"spiffe://{HOST}/ns/default/dc/dc1/svc/a%2Fb",
        f"spiffe://{HOST}/svc/web",
        f"spiffe://{HOST}/",
        "spiffe://nodot",
        "spiffe://[::1",
    ],
)
def test_what_has_another_form_is_none_of_ours(uri: str) -> None:
    with pytest.raises(BadSpiffeId, match="SPIFFE ID is not in the expected format"):
        parse(uri)


@pytest.mark.parametrize("uri", ["", "nonsense", "http://x/y", "%zz"])
def test_another_scheme_is_none(uri: str) -> None:
    with pytest.raises(BadSpiffeId, match="SPIFFE ID must have 'spiffe' scheme"):
        parse(uri)


def test_common_names_have_letters_and_digits_and_at_most_64_characters() -> None:
    assert ServiceId(HOST, "dc1", "CF_web.1").common_name == "cfweb1.svc.default.98359594.consul"
    long = ServiceId(HOST, "dc1", "a" * 100).common_name
    assert long == "a" * 36 + ".svc.default.98359594.consul"
    assert len(long) == 64
    assert AgentId(HOST, "dc1", "agent-nine").common_name == "agentnine.agnt.98359594.consul"


def test_an_agent_can_be_moved_to_the_trust_domain_of_its_servers() -> None:
    agent = AgentId("dummy.trustdomain", "dc1", "n")
    assert agent.within(HOST).uri == f"spiffe://{HOST}/agent/client/dc/dc1/id/n"
