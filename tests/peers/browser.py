"""Debian's Chromium, driven by Playwright: what the web page's tests look through.

Every page that a test opens is watched: errors on the console, violations of the policy, and requests to other hosts
fail the test that made them.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: axe-core, put there by `tests/peers/tools`.
AXE: Final = (
    Path(os.environ.get("CONSULPY_TOOLS", "/usr/local/lib/consulpy-peers")) / "ui/node_modules/axe-core/axe.min.js"
)
#: Impacts of axe that fail a test.
SERIOUS: Final = ("serious", "critical")
#: Milliseconds for what a page does; long, because tests share the machine.
TIMEOUT_MS: Final = 60_000
#: The file that is fetched last: the last one of `LATER` in the page's app.js.
LAST_PAGE: Final = "/pages/missing.js"
WIDE: Final = {"width": 1280, "height": 800}
NARROW: Final = {"width": 360, "height": 740}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One context of a browser, and what went wrong in it. `address`: of the agent; `path`: the content path."""

    def __init__(self, context: BrowserContext, address: str, path: str = "/ui/") -> None:
        self.context = context
        self.address = address
        self.base = f"http://{address}{path}"
        self.faults: list[str] = []
        #: Statuses of answers that the browser may write to the console.
        self.allowed_statuses: set[int] = set()
        context.on("console", self._console)
        context.on("request", self._request)
        context.on("weberror", lambda error: self.faults.append(f"exception: {error.error}"))
        context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = context.new_page()
        self.page.on("dialog", self._dialog)

    def _dialog(self, dialog: Any) -> None:
        """`alert` is a fault: only an attacker calls it. Leaving a page with unsaved text asks; the test leaves."""
        if dialog.type != "beforeunload":
            self.faults.append(f"dialog: {dialog.message}")
        dialog.accept()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if "Failed to load resource" in message.text and any(
            f"status of {code}" in message.text for code in self.allowed_statuses
        ):
            return
        if "net::ERR_" in message.text and 0 in self.allowed_statuses:
            return
        self.faults.append(f"console: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.address:
            self.faults.append(f"request to another host: {request.url}")

    def begin(self) -> None:
        """Forget what an earlier test did; files stay in the browser's cache."""
        self.faults.clear()
        self.allowed_statuses.clear()
        self.page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        self.page.emulate_media(color_scheme="light")

    def end(self) -> None:
        """Leave the page, and what it has stored. Raises `AssertionError` if something was wrong with it."""
        self.page.unroute_all(behavior="ignoreErrors")
        if self.page.url != "about:blank":
            self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
            self.page.goto("about:blank")
        assert not self.faults, "\n".join(self.faults)

    def go(self, path: str) -> Page:
        """Open a page by its address below the content path."""
        self.page.goto(self.base + path)
        return self.page

    def prepared(self) -> Page:
        """Wait until the files of all other pages are there, which are fetched some time after the first view; keys
        have their meaning then.
        """
        self.page.wait_for_function(
            """() => performance.getEntriesByType('resource')
                 .some((file) => file.name.endsWith(LAST) && file.responseEnd > 0)""".replace("LAST", repr(LAST_PAGE))
        )
        return self.page

    def serious(self, rules: tuple[str, ...] = ()) -> list[str]:
        """What axe finds that is serious, as `rule: element`; of all rules, or of some."""
        page = self.page
        if not page.evaluate("typeof axe === 'object'"):
            page.evaluate(AXE.read_text() + ";0")  # by the debugger: the page's policy stays in force for the page
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = list(rules)
        found = page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{each['id']}: {node['html'][:160]}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]


@contextmanager
def visitor(browser: Browser, address: str, path: str = "/ui/", **options: Any) -> Iterator[Visitor]:
    """A visitor without a history, who has seen no fault at the end."""
    context = browser.new_context(viewport=options.pop("viewport", WIDE), reduced_motion="reduce", **options)
    found = Visitor(context, address, path)
    try:
        yield found
        assert not found.faults, "\n".join(found.faults)
    finally:
        context.close()
