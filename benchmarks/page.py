"""The web page in Chromium: bytes and files of the first view, time to the first rows, a filter, elements."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Running, fill, server
from report import Row, Sample
from task import Group, Settings, Task

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

CHROMIUM = shutil.which("chromium") or "chromium"
#: Every tool of the benchmark is asked for by `PACKAGES`; this one only when its rows are chosen.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
SMALL = 10
PATIENCE_MS = 60_000
#: Runs in the page before its scripts: notes when the first service is drawn, frame by frame.
WATCH = """
const look = () => {
  if (document.querySelector('a[href*="/services/service-"]')) window.firstRowsMs = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
#: Types into the filter; the milliseconds until the first row, which does not match, is gone.
FILTER = """
async () => {
  const field = document.querySelector('input[type=search], input[name=s]');
  const before = performance.now();
  field.focus();
  field.value = 'service-49';
  for (const kind of ['input', 'search', 'keyup']) field.dispatchEvent(new Event(kind, {bubbles: true}));
  while (document.querySelector('a[href*="/services/service-0/"], a[href$="/services/service-0"]')) {
    if (performance.now() - before > 20000) throw new Error('the filter does nothing');
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - before;
}
"""


@dataclass
class Subject:
    """An agent with its page, and a browser."""

    agent: Running
    browser: "Browser"

    def visit(self) -> dict[str, Any]:
        """Open the list of services in a new profile, filter it; what was measured."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        try:
            page = context.new_page()
            page.add_init_script(WATCH)
            finished: list[Request] = []
            page.on("requestfinished", lambda request: finished.append(request))
            page.goto(f"http://{self.agent.address}:8500/ui/dc1/services")
            page.wait_for_selector('a[href*="/services/service-"]', timeout=PATIENCE_MS)
            page.wait_for_timeout(200)
            # What is fetched for later views is not of the first one. Sizes are asked for here: a handler that asks
            # might still wait when the page closes.
            files = [request for request in finished if "/v1/" not in request.url]
            return {
                "bytes": sum(request.sizes()["responseBodySize"] for request in files),
                "files": len(files),
                "rows": page.evaluate("window.firstRowsMs"),
                "elements": page.evaluate("document.getElementsByTagName('*').length"),
                "filter": page.evaluate(FILTER),
            }
        finally:
            context.close()


def groups(settings: Settings) -> list[Group]:
    """The page of a small catalog and of a large one."""
    return [_group("page", SMALL, SMALL), _group("large page", settings.nodes, settings.services)]


def _group(name: str, nodes: int, services: int) -> Group:
    @contextmanager
    def setup(program: str, place: Path) -> Iterator[Subject]:
        from playwright.sync_api import Error, sync_playwright

        agent = server(program, place, "-ui")
        try:
            fill(agent, nodes, services, {})
            agent.wait_idle()
            with _playwright(sync_playwright) as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                try:
                    yield Subject(agent, browser)
                finally:
                    browser.close()
        except Error as error:
            raise RuntimeError(f"the browser: {error.message}") from error
        finally:
            agent.close()

    label = f"page, {services} services"
    rows = {
        "bytes": Row(f"{label}: files", "KiB", "<= 0.1", 1),
        "files": Row(f"{label}: files", "number"),
        "rows": Row(f"{label}: first rows", "ms", "<= 0.5" if services < 1000 else "<= 0.4"),
        "filter": Row(f"{label}: filter", "ms", "<= 1.0", 1),
        "elements": Row(f"{label}: elements", "number"),
    }
    if services < 1000:
        del rows["filter"]

    def measure(subject: Subject) -> dict[Row, Sample]:
        found = subject.visit()
        found["bytes"] /= 1024
        return {row: Sample(found[key]) for key, row in rows.items()}

    return Group(name, setup, [Task(tuple(rows.values()), measure)])


_shared: list[tuple[Any, Any]] = []


@contextmanager
def _playwright(start: Any) -> Iterator[Any]:
    """One for both programs: a process can have only one."""
    if _shared:
        yield _shared[0][1]
        return
    manager = start()
    _shared.append((manager, manager.__enter__()))
    try:
        yield _shared[0][1]
    finally:
        _shared.clear()
        manager.__exit__(None, None, None)
