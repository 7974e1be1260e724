"""Nothing can be asked that nobody judges: every RPC method and every route says which right it wants."""

import pytest

from consulpy.acl.authorizer import DENY_ALL
from consulpy.errors import PermissionDenied
from consulpy.http.api import routes
from consulpy.http.api.agent_rights import _LOCAL, refused_unless_named, rights_of
from consulpy.http.api.routing import ROUTES
from consulpy.rpc.acl.filters import has_filter
from consulpy.rpc.acl.guard import Guard
from consulpy.rpc.acl.resolver import AclNotFound
from consulpy.rpc.acl.table import ACCESS, _by_type
from consulpy.rpc.methods import METHODS, Kind, Method, load_all
from consulpy.structs.requests import Read

routes.load_all()
load_all()


def test_every_method_says_what_it_wants() -> None:
    assert METHODS.keys() == ACCESS.keys()


def test_what_is_filtered_by_its_type_has_a_filter() -> None:
    unfiltered = [
        name for name, each in ACCESS.items() if each.after is _by_type and not has_filter(METHODS[name].reply)
    ]
    assert unfiltered == []


#: What anybody may ask, with any token or none.
OPEN = {
    "ACL.BootstrapTokens", "ACL.BootstrapWithSecret", "ACL.Get", "ACL.GetPolicy", "ACL.Login", "ACL.Logout",
    "ACL.ReplicationStatus",
    "ACL.TokenRead",
    "Catalog.ListDatacenters", "ConnectCA.ConfigurationGet", "ConnectCA.ConfigurationSet", "ConnectCA.Roots",
    "ConnectCA.Sign", "ConnectCA.SignIntermediate", "Coordinate.ListDatacenters",
    "Status.ConfigEntryKinds", "Status.Leader", "Status.Peers", "Status.Ping", "Status.RaftStats",
}  # fmt: skip
#: What any token that exists may ask.
ANY_TOKEN = {"ACL.Authorize", "ACL.PolicyResolve", "ACL.RoleResolve"}


def test_what_is_open_is_open_on_purpose() -> None:
    assert {name for name, each in ACCESS.items() if each.is_open} == OPEN
    bare = {name for name, each in ACCESS.items() if not (each.is_open or each.check or each.after)}
    assert bare == ANY_TOKEN


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, each in ROUTES.items() for method in each])
def test_every_route_says_what_it_wants(path: str, method: str) -> None:
    assert rights_of(method, path) is not None


def test_the_table_of_routes_names_no_route_that_is_gone() -> None:
    assert [key for key in _LOCAL if key[0] not in ROUTES.get(key[1], {})] == []


def test_a_route_or_method_that_nobody_named_is_refused() -> None:
    rights = refused_unless_named(rights_of("GET", "/v1/agent/new"))
    with pytest.raises(PermissionDenied):
        rights.before(DENY_ALL, None, None)  # type: ignore[misc, arg-type]

    class Resolver:
        def resolve(self, secret: str, watch: object = None) -> object:
            raise AclNotFound

    guard = Guard(Resolver(), default_allows=True)  # type: ignore[arg-type]
    new = Method("New.Method", Kind.READ, Read, None, lambda server, request, watch: "secret")
    with pytest.raises(PermissionDenied):
        guard.read(None, new, Read(), None)  # type: ignore[arg-type]
