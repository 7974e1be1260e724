"""Each page in light and dark, wide and narrow: nothing serious for axe, nothing sticks out, its heading is there."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Request, expect

from tests.peers.browser import NARROW, WIDE, Visitor, visitor
from tests.system.ui.conftest import Cluster

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Address below the datacenter, heading, and something that is on the page.
PAGES = [
    ("overview", "Overview", "1 node failed"),
    ("services", "Services", "checkout"),
    ("services/web", "web", "web-2"),
    ("services/web/tags", "web", "v2"),
    ("services/web/intentions", "web", "web to db"),
    ("services/web/instances/c1/web-2", "web-2", "service:web-2"),
    ("services/web/c1/web-1", "web-1", "Serf Health Status"),
    ("services/web/instances/c1/web-1/metadata", "web-1", "https://wiki.example/"),
    ("services/web/instances/c1/web-1/addresses", "web-1", ":8080"),
    ("nodes", "Nodes", "leader"),
    ("nodes/c3", "c3", "Declared dead"),
    ("nodes/c3/timeline", "c3", "suspected"),
    ("nodes/c1/health-checks", "c1", "HTTP on checkout"),
    ("nodes/c1/service-instances", "c1", "checkout-1"),
    ("nodes/c1/round-trip-time", "c1", "round trip"),
    ("nodes/c1/lock-sessions", "c1", "session"),
    ("nodes/c1/metadata", "c1", "Gossip tags"),
    ("kv", "Key/Value", "config/"),
    ("kv/config/", "config/", "flag"),
    ("kv/motd/edit", "motd", "ModifyIndex"),
    ("kv/config/flag/edit", "flag", "3 B"),
    ("kv/create", "New key", "Flags"),
    ("intentions", "Intentions", "db"),
    ("intentions/create", "New intention", "Source"),
    ("servers", "Servers", "can lose no server"),
    ("map", "Map", "15 s|round trip"),
    ("events", "Events", "deploy"),
    ("sessions", "Sessions", "leader-of-web"),
    ("queries", "Prepared queries", "nearest-web"),
    ("acls/tokens", "ACL", "ACLs are off"),
    ("agent", "Agent s1", "Configuration in force"),
    ("agent/metrics", "Agent s1", "consul.rpc"),
    ("agent/log", "Agent s1", "Pause"),
    ("setting", "Settings", "Keep in this tab"),
    ("nonsense", "There is no such page", "overview"),
]
#: Of the picture in the README and of CI's scratch: where screenshots go, if anywhere.
PICTURES = os.environ.get("CONSULPY_UI_PICTURES", "")


@pytest.mark.parametrize(("path", "heading", "text"), PAGES, ids=[path for path, _, _ in PAGES])
def test_each_page_is_there_for_everybody(see: Visitor, path: str, heading: str, text: str) -> None:
    """WCAG 2.2 AA as far as axe can tell, at 1,280 and 360 pixels, in both themes."""
    page = see.go(f"dc1/{path}")
    page.get_by_role("heading", level=1, name=heading).wait_for()
    page.get_by_text(re.compile(text, re.IGNORECASE)).first.wait_for(state="attached")
    assert page.title().endswith(" - dc1 - consulpy")
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            rules = ("color-contrast",) if scheme == "dark" else ()  # a theme changes nothing but colours
            assert see.serious(rules) == [], f"{viewport['width']} px, {scheme}"
            if PICTURES:
                name = f"{path.replace('/', '_')}-{viewport['width']}-{scheme}.png"
                page.screenshot(path=Path(PICTURES) / name)
    page.set_viewport_size({"width": 320, "height": 640})  # 400 % zoom of 1,280 pixels
    wide_by = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide_by <= 0, f"sticks out by {wide_by} px at 320 px"


def test_values_of_keys_are_edited_in_a_monospaced_field(see: Visitor) -> None:
    page = see.go("dc1/kv/motd/edit")
    family = page.get_by_role("textbox", name="Value").evaluate("field => getComputedStyle(field).fontFamily")
    assert "monospace" in family


def test_names_on_the_map_are_legible_at_every_width(see: Visitor) -> None:
    coordinates = [
        {"Node": f"n{at}", "Segment": "", "Coord": {"Vec": [at * 1e-3, 0], "Error": 1, "Adjustment": 0, "Height": 1e-5}}
        for at in range(3)
    ]
    see.page.route("**/v1/coordinate/nodes*", lambda route: route.fulfill(json=coordinates))
    page = see.go("dc1/map")
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        expect(page.locator("svg text")).to_have_count(3)
        page.wait_for_function("() => document.querySelector('svg text').getBoundingClientRect().height >= 12")
        width = page.evaluate(
            """() => {
              const xs = [...document.querySelectorAll('svg circle')].map((spot) => spot.getBoundingClientRect().x);
              return Math.max(...xs) - Math.min(...xs);
            }"""
        )
        assert width > viewport["width"] / 2, "nodes in a line fill the width"


def test_the_overview_names_each_server_with_its_state(see: Visitor) -> None:
    """Every row has the state word and a link."""
    page = see.go("dc1/overview")
    row = page.get_by_role("main").get_by_role("listitem").filter(has_text="leader")
    expect(row).to_contain_text("alive")
    row.get_by_role("link", name="s1").click()
    expect(page.get_by_role("heading", level=1, name="s1")).to_be_visible()


def test_the_agents_root_leads_to_the_overview(see: Visitor, cluster: Cluster) -> None:
    page = see.page
    page.goto(f"http://{cluster.http}/")
    page.get_by_role("heading", level=1, name="Overview").wait_for()
    expect(page).to_have_url(f"http://{cluster.http}/ui/dc1/overview")


def test_nothing_is_asked_at_rest(see: Visitor) -> None:
    """A view has two blocking queries at most; between changes nothing is sent."""
    page = see.go("dc1/nodes")
    page.get_by_role("row").filter(has_text="c1").wait_for()
    see.prepared()
    page.wait_for_timeout(1000)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.wait_for_timeout(3000)
    assert len([url for url in sent if "/v1/" in url]) <= 2, sent


def test_the_menu_of_the_other_pages_closes_as_menus_do(see: Visitor) -> None:
    page = see.go("dc1/overview")
    menu = page.get_by_role("navigation", name="Main").locator("details")
    for leave in ("Escape", "Tab", "click"):
        page.get_by_text("More", exact=True).click()
        expect(menu).to_have_attribute("open", "")
        if leave == "click":
            page.get_by_role("heading", level=1).click()
        else:
            page.get_by_role("link", name="Settings", exact=True).focus()
            page.keyboard.press(leave)
        expect(menu).not_to_have_attribute("open", "")


def test_the_first_view_is_small(browser: "Browser", cluster: Cluster) -> None:
    """Files of the first view: at most 60 KB as they are sent, in 10 requests at most."""
    with visitor(browser, cluster.http) as see:
        first_view(see)


def first_view(see: Visitor) -> None:
    finished: list[Request] = []
    see.page.on("requestfinished", lambda request: finished.append(request))
    see.go("dc1/services").get_by_role("row").filter(has_text="web").wait_for()
    sizes = {each.url: each.sizes()["responseBodySize"] for each in finished if each.url.startswith(see.base)}
    assert sum(sizes.values()) < 60_000, sizes
    assert len(sizes) <= 10, sorted(sizes)
