"""1,000 nodes and 5,000 services: what is drawn is what is seen, and every key finds its row."""

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.peers.browser import Visitor

SERVICES = [
    {"Name": f"service-{number:04}", "Tags": ["v1", f"team-{number % 20}"], "Nodes": [f"n{number % 1000}"],
     "InstanceCount": 1, "ChecksPassing": 2, "ChecksWarning": int(number % 50 == 1),
     "ChecksCritical": int(number % 500 == 0), "ExternalSources": None, "GatewayConfig": {}}
    for number in range(5000)
]  # fmt: skip
NODES = [
    {"ID": "", "Node": f"n{number:03}", "Address": f"10.0.{number // 250}.{number % 250}", "Services": [],
     "Checks": [{"CheckID": "serfHealth", "Status": "passing", "Name": "Serf Health Status"}]}
    for number in range(1000)
]  # fmt: skip
MEMBERS = [
    {"Name": each["Node"], "Addr": each["Address"], "Port": 8301, "Status": 4 if at % 100 == 7 else 1,
     "Tags": {"role": "node", "build": "1.8.7:x"}}
    for at, each in enumerate(NODES)
]  # fmt: skip
ELEMENTS_MAX = 2000


def elements(page: Page) -> int:
    count: int = page.evaluate("document.getElementsByTagName('*').length")
    return count


def serve(page: Page, pattern: str, answers: list[Any]) -> None:
    """Answer the feed with each of `answers`, the next one when it is asked with the index of the last."""

    def answer(route: Route) -> None:
        known = re.search(r"[?&]index=(\d+)", route.request.url)
        number = int(known[1]) if known else 0
        if number >= len(answers):
            return  # nothing new: the query waits
        route.fulfill(
            body=json.dumps(answers[number]),
            headers={"X-Consul-Index": str(number + 1), "Content-Type": "application/json"},
        )

    page.route(pattern, answer)


def test_5000_services_are_a_few_elements_and_every_row_can_be_reached(see: Visitor) -> None:
    page = see.page
    serve(page, "**/v1/internal/ui/services*", [SERVICES])
    see.go("dc1/services")
    expect(page.get_by_role("heading", level=1)).to_contain_text("5000")
    table = page.get_by_role("table", name="Services")
    expect(table).to_have_attribute("aria-rowcount", "5001")
    expect(table.get_by_role("row").nth(1)).to_contain_text("critical")
    assert elements(page) < ELEMENTS_MAX
    table.get_by_role("link").first.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("link", name="service-4999")).to_be_focused()
    expect(page.get_by_role("link", name="service-4999")).to_be_in_viewport()
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    assert elements(page) < ELEMENTS_MAX
    page.evaluate("scrollTo(0, 90000)")
    page.wait_for_timeout(300)
    seen = page.evaluate(
        """[...document.querySelectorAll('[role=row] a')].map((link) => link.getBoundingClientRect())
           .filter((at) => at.top > 100 && at.bottom < innerHeight).length"""
    )
    assert seen >= 10, "what is scrolled to is drawn"
    left = page.evaluate("[...document.querySelectorAll('[data-table]')].map((body) => body.childNodes.length)[0]")
    assert left < 6 * table.get_by_role("row").count(), "rows that went have left nothing in the document"
    page.get_by_role("searchbox").fill("tag:team-7 -service-0")
    expect(page.get_by_role("heading", level=1)).to_contain_text("200 of 5000")
    page.get_by_role("columnheader", name="Name").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    assert see.serious() == []


def test_1000_nodes_with_their_members(see: Visitor) -> None:
    page = see.page
    serve(page, "**/v1/internal/ui/nodes*", [NODES])
    serve(page, "**/v1/agent/members*", [MEMBERS])
    see.go("dc1/nodes")
    expect(page.get_by_role("heading", level=1)).to_contain_text("1000")
    expect(page.get_by_role("button", name="Failed 10")).to_be_visible()
    expect(page.get_by_role("table").get_by_role("row").nth(1)).to_contain_text("failed")
    assert elements(page) < ELEMENTS_MAX


def test_a_list_that_is_being_read_does_not_move(see: Visitor) -> None:
    """A row with the focus stays where it is; what would come or move waits behind a button."""
    page = see.page
    failing = [{**each, "ChecksCritical": 1} if at in (4000, 4001) else each for at, each in enumerate(SERVICES)]

    def fulfil(route: Route, body: Any, index: int) -> None:
        route.fulfill(body=json.dumps(body), headers={"X-Consul-Index": str(index), "Content-Type": "application/json"})

    held: list[Route] = []
    page.route("**/v1/internal/ui/services?dc=dc1", lambda route: fulfil(route, SERVICES, 1))
    page.route("**/v1/internal/ui/services?dc=dc1&index=1*", lambda route: held.append(route))
    page.route("**/v1/internal/ui/services?dc=dc1&index=2*", lambda route: None)
    see.go("dc1/services")
    links = page.get_by_role("table", name="Services").get_by_role("link")
    links.nth(3).focus()
    before = links.all_inner_texts()
    while not held:
        page.wait_for_timeout(50)
    fulfil(held[0], failing, 2)
    button = page.get_by_role("button", name="changed, show")
    expect(button).to_be_visible()
    assert links.all_inner_texts() == before
    expect(links.nth(3)).to_be_focused()
    button.click()
    expect(page.get_by_role("row").filter(has_text="service-4000")).to_be_visible()
