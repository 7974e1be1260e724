"""Intention.*: stored, listed, matched and checked.

Connect, which enforces them, is not supported (docs/wire/rpc.md 10).
"""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.multierror import format_errors
from consulpy.gocompat.time import go_time
from consulpy.rpc.endpoints._result_filters import filtered
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import check_uuid, new_uuid
from consulpy.state.commands import Intention as Command
from consulpy.state.watch import WatchSet
from consulpy.structs.intention import (
    ALLOW,
    CONSUL_SOURCE,
    DEFAULT_NAMESPACE,
    DENY,
    WILDCARD,
    CheckReply,
    Intention,
    IntentionCheck,
    IntentionQuery,
    IntentionRequest,
    IntentionsReply,
    MatchesReply,
    hash_of,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Limits of the metadata: number of pairs, characters of a key and of a value.
META_MAX_PAIRS: Final = 64
META_KEY_MAX: Final = 128
META_VALUE_MAX: Final = 512
#: Most characters of a description.
DESCRIPTION_MAX: Final = 512
#: Create or update, by source and destination.
UPSERT: Final = "upsert"
NOT_FOUND: Final = "Intention not found"


@write("Intention.Apply", IntentionRequest, str)
def apply(server: "Server", request: IntentionRequest) -> Any:
    """Create, update or delete an intention; its id.

    Newer agents (Consul 1.9) write and delete by source and destination: `upsert`, and `delete` without an id.
    """
    return server.intention_writes.run(_apply, server, request)


def _apply(server: "Server", request: IntentionRequest) -> Any:
    if request.intention is None:
        raise RPCError("Must provide an intention")
    intention = dataclasses.replace(request.intention)
    if request.op == UPSERT or (request.op == "delete" and not intention.id and intention.destination_name):
        return _apply_by_name(server, request, intention)
    now = go_time(server.wall_s())
    if request.op == "create":
        if intention.id:
            raise RPCError("ID must be empty when creating a new intention")
        intention.id, intention.created_at = new_uuid(server.rng), now
    else:
        check_uuid(intention.id, "Intention lookup failed: failed intention lookup")
        if server.store.intentions.get(None, intention.id)[1] is None:
            verb = "delete" if request.op == "delete" else "modify"
            raise RPCError(f"Cannot {verb} non-existent intention: '{intention.id}'")
    if request.op in ("create", "update"):
        intention.updated_at = now
        intention.source_type = intention.source_type or CONSUL_SOURCE
        intention.source_ns = intention.source_ns or DEFAULT_NAMESPACE
        intention.destination_ns = intention.destination_ns or DEFAULT_NAMESPACE
        check(intention)
        intention.hash = hash_of(intention)
    elif request.op != "delete":
        raise RPCError(f"Invalid Intention operation: {request.op}")
    command = Command(
        IntentionRequest(
            datacenter=request.datacenter or server.datacenter, token=request.token, op=request.op, intention=intention
        )
    )
    return server.submit(command).addCallback(lambda _: intention.id)


def _apply_by_name(server: "Server", request: IntentionRequest, intention: Intention) -> Any:
    intention.source_ns = intention.source_ns or DEFAULT_NAMESPACE
    intention.destination_ns = intention.destination_ns or DEFAULT_NAMESPACE
    known = server.store.intentions.exact(None, intention)[1]
    if request.op == "delete" and known is None:
        return ""
    intention.id = known.id if known is not None else ""
    op = "delete" if request.op == "delete" else "update" if known is not None else "create"
    changed = _apply(server, dataclasses.replace(request, op=op, intention=intention))
    return changed.addCallback(lambda _: "")  # a client that uses names has no ids


def check(intention: Intention) -> None:
    """Check an intention. Raises `RPCError` with all errors, in Consul's words."""
    wrong: list[str] = []
    names = (
        ("SourceNS", intention.source_ns),
        ("SourceName", intention.source_name),
        ("DestinationNS", intention.destination_ns),
        ("DestinationName", intention.destination_name),
    )
    wrong += [f"{what} must be set" for what, value in names if not value]
    wrong += [
        f"{what}: wildcard character '*' cannot be used with partial values"
        for what, value in names
        if WILDCARD in value and value != WILDCARD
    ]
    if intention.source_ns == WILDCARD and intention.source_name != WILDCARD:
        wrong.append("SourceName: exact value cannot follow wildcard namespace")
    if intention.destination_ns == WILDCARD and intention.destination_name != WILDCARD:
        wrong.append("DestinationName: exact value cannot follow wildcard namespace")
    if len(intention.description) > DESCRIPTION_MAX:
        wrong.append(f"Description exceeds maximum length {DESCRIPTION_MAX}")
    meta = intention.meta or {}
    if len(meta) > META_MAX_PAIRS:
        wrong.append(f"Meta exceeds maximum element count {META_MAX_PAIRS}")
    for key, value in sorted(meta.items()):
        if len(key) > META_KEY_MAX:
            wrong.append(f"Meta key {quoted(key)} exceeds maximum length {META_KEY_MAX}")
        if len(value) > META_VALUE_MAX:
            wrong.append(f"Meta value for key {quoted(key)} exceeds maximum length {META_VALUE_MAX}")
    if intention.action not in (ALLOW, DENY):
        wrong.append("Action must be set to 'allow' or 'deny'")
    if intention.source_type != CONSUL_SOURCE:
        wrong.append(f"SourceType must be set to '{CONSUL_SOURCE}'")
    if wrong:
        raise RPCError(format_errors(wrong))


@read("Intention.List", SpecificRequest, IntentionsReply)
def list_all(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> IntentionsReply | LongRead:
    """All intentions in order of precedence."""
    index, found = server.store.intentions.all(watch)
    reply = IntentionsReply()
    reply.meta.index = index

    def fill(matching: list[Intention] | None) -> None:
        reply.intentions = matching or []

    return filtered(reply, found, request.options.filter, Intention, fill)


def _exists(server: "Server", request: IntentionQuery) -> None:
    if request.intention_id:
        get(server, request, None)


@read("Intention.Get", IntentionQuery, IntentionsReply, before_token=_exists)
def get(server: "Server", request: IntentionQuery, watch: WatchSet | None) -> IntentionsReply:
    """One intention by its id; as newer agents ask (Consul 1.9) by its source and destination, here `check`."""
    if request.check is not None and not request.intention_id:
        query = request.check
        wanted = Intention(
            source_ns=query.source_ns or DEFAULT_NAMESPACE,
            source_name=query.source_name,
            destination_ns=query.destination_ns or DEFAULT_NAMESPACE,
            destination_name=query.destination_name,
        )
        index, found = server.store.intentions.exact(watch, wanted)
        return _reply_of_one(index, found)
    check_uuid(request.intention_id, "failed intention lookup")
    return _reply_of_one(*server.store.intentions.get(watch, request.intention_id))


def _reply_of_one(index: int, found: Intention | None) -> IntentionsReply:
    if found is None:
        raise RPCError(NOT_FOUND)
    reply = IntentionsReply(intentions=[found])
    reply.meta.index = index
    return reply


def _refuse_none(request: IntentionQuery) -> None:
    """A request that matches nothing ends a real leader. Raises `RPCError`."""
    if request.match is None:
        raise RPCError("Must provide what to match")


@read("Intention.Match", IntentionQuery, MatchesReply, check_forwarded=_refuse_none)
def match(server: "Server", request: IntentionQuery, watch: WatchSet | None) -> MatchesReply:
    """The intentions of each name in order of precedence."""
    _refuse_none(request)
    assert request.match is not None
    if request.match.type not in ("source", "destination"):
        raise RPCError(f"invalid intention match type: {request.match.type}")
    reply = MatchesReply()
    for entry in request.match.entries or ():
        namespace = entry.namespace or DEFAULT_NAMESPACE
        reply.meta.index, found = server.store.intentions.matching(watch, request.match.type, namespace, entry.name)
        reply.matches.append(list(found) or None)
    return reply


def _checked(_server: "Server", request: IntentionQuery) -> IntentionCheck:
    query = request.check
    if query is None:
        raise RPCError("Check must be specified on args")
    if query.source_type not in ("", CONSUL_SOURCE):
        raise RPCError(f"unsupported SourceType: {quoted(query.source_type)}")
    return query


def _check_query(server: "Server", request: IntentionQuery) -> None:
    _checked(server, request)


@write("Intention.Check", IntentionQuery, CheckReply, before_token=_check_query)
def may_talk(server: "Server", request: IntentionQuery) -> CheckReply:
    """Whether a connection is allowed: by the first matching intention, else by the default policy."""
    query = _checked(server, request)
    namespace = query.destination_ns or DEFAULT_NAMESPACE
    _, found = server.store.intentions.matching(None, "destination", namespace, query.destination_name)
    for intention in found:
        if _covers(intention, query.source_ns or DEFAULT_NAMESPACE, query.source_name):
            return CheckReply(intention.action == ALLOW)
    default = server.default_intention_policy
    return CheckReply(default == ALLOW if default else server.guard.default_allows)


def _covers(intention: Intention, namespace: str, name: str) -> bool:
    return intention.source_ns in (WILDCARD, namespace) and intention.source_name in (WILDCARD, name)
