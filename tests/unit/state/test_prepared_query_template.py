"""Templates of prepared queries: what is interpolated, what is refused, and that no expression can stop a server."""

import pytest

from consulpy.errors import RPCError
from consulpy.state.indexes import Indexes
from consulpy.state.prepared_query import PreparedQueries
from consulpy.state.prepared_query_template import check_template, render
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import PreparedQuery, QueryFailover, QueryService, QueryTemplate

AGENT = QuerySource(datacenter="dc1", segment="blue", node="n1")


def template(text: str, regexp: str = "", name: str = "geo-") -> PreparedQuery:
    return PreparedQuery(
        id="1", name=name, template=QueryTemplate("name_prefix_match", regexp), service=QueryService(service=text)
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("${name.full}", "geo-web-eu"),
        ("${name.prefix}|${name.suffix}", "geo-|web-eu"),
        ("${match(0)}", "geo-web-eu"),
        ("x-${match(2)}-${ match( 1 ) }", "x-eu-web"),
        ("${match(9)}", ""),
        ("${agent.segment}", "blue"),
        ("$${name.full}", "${name.full}"),
        ("plain $5", "plain $5"),
    ],
)
def test_texts_are_interpolated(text: str, shown: str) -> None:
    query = template(text, r"^geo-(.*?)-([^\-]+?)$")
    check_template(query)
    assert render(query, "geo-web-eu", AGENT).service.service == shown


def test_everything_of_the_service_is_interpolated() -> None:
    query = template("a")
    query.service.near = query.service.failover.datacenters = None  # type: ignore[assignment]
    query.service = QueryService(
        service="a",
        near="${name.suffix}",
        failover=QueryFailover(datacenters=["${name.suffix}"]),
        tags=["${match(1)}", "t"],
        node_meta={"k": "${name.suffix}"},
        service_meta={"k": "${name.suffix}"},
    )
    query.template.remove_empty_tags = True
    found = render(query, "geo-x", AGENT).service
    assert (found.near, found.failover.datacenters, found.tags) == ("x", ["x"], ["t"])
    assert (found.node_meta, found.service_meta) == ({"k": "x"}, {"k": "x"})
    assert query.service.tags == ["${match(1)}", "t"], "the stored query stays"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            template("${name.colour}"),
            "Bad evaluation for '${name.colour}' in Service.Service: 1:3: unknown variable accessed: name.colour",
        ),
        (template("${name"), "Bad format '${name' in Service.Service"),
        (template("a", "("), "Bad Regexp: "),
        (template("a", r"(?=x)"), "Bad Regexp: "),
    ],
)
def test_what_cannot_be_rendered_is_refused(query: PreparedQuery, text: str) -> None:
    with pytest.raises(RPCError) as told:
        check_template(query)
    assert str(told.value).startswith("failed compiling template: ")
    assert text in str(told.value)


def test_the_longest_prefix_answers_and_an_exact_name_first() -> None:
    queries = PreparedQueries(Indexes())
    rows = (
        PreparedQuery(id="a", name="geo-web", service=QueryService(service="exact")),
        PreparedQuery(id="b", name="geo-", template=QueryTemplate("name_prefix_match"), service=QueryService("geo")),
        PreparedQuery(id="c", name="geo-db-", template=QueryTemplate("name_prefix_match"), service=QueryService("db")),
        PreparedQuery(id="d", name="", template=QueryTemplate("name_prefix_match"), service=QueryService("any")),
    )
    for row in rows:
        queries.table._replace((row.id,), row)

    def service_of(name: str) -> str:
        found = queries.resolve(name, AGENT)
        assert found is not None
        return found.service.service

    assert [service_of(name) for name in ("GEO-web", "geo-webs", "geo-db-1", "other", "a")] == [
        "exact", "geo", "db", "any", "exact",
    ]  # fmt: skip
    with pytest.raises(RPCError, match="can only be resolved up by name"):
        queries.resolve("b", AGENT)
