"""The web page through the HTTP API: switched on, its addresses, its headers (ui.md sections 8 and 9)."""

import gzip
from pathlib import Path

import pytest

from consulpy.http.ui import disk
from consulpy.http.ui.headers import POLICY
from tests.harness.http import HttpHarness, Response

INDEX = '<!doctype html>\n<script type="module" src="{{.ContentPath}}assets/app.js"></script>\n'
SCRIPT = 'import "./pages/nodes.js";\n' * 50
HTML = "text/html; charset=utf-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a page."""
    (tmp_path / "assets" / "pages").mkdir(parents=True)
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "assets" / "app.js").write_text(SCRIPT)
    (tmp_path / "assets" / "pages" / "nodes.js").write_text("")
    (tmp_path / "assets" / "dot.png").write_bytes(bytes(range(256)))
    return tmp_path


@pytest.fixture
def page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> HttpHarness:
    """An agent with `-ui` whose packaged files are those of `folder`."""
    load = disk.PackageFiles.__init__
    monkeypatch.setattr(disk.PackageFiles, "__init__", lambda files: load(files, folder))
    return HttpHarness(ui=True)


def script_of(page: HttpHarness, content_path: str = "/ui/") -> str:
    """The address of the script in index.html."""
    return page.ask(f"GET {content_path}").text.partition('src="')[2].partition('"')[0]


def test_without_ui_there_is_none() -> None:
    harness = HttpHarness()
    assert harness.ask("GET /").text == "Consul Agent"
    for path in ("/ui", "/ui/", "/ui/assets/app.js", "/robots.txt"):
        assert harness.ask(f"GET {path}").status == 404


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_the_ways_to_the_page(page: HttpHarness, path: str) -> None:
    answer = page.ask(f"GET {path}")
    assert (answer.status, answer.headers["location"]) == (301, "/ui/")


@pytest.mark.parametrize(
    "path",
    [
        "/ui/",
        "/ui/index.html",
        "/ui/dc1/overview",
        "/ui/dc1/services/web.js",
        "/ui/dc1/kv/a//create",
        "/ui/dc1/kv/%00%ff%2f/edit",
        "/ui/dc1/nodes/..%2f..%2fetc%2fpasswd",
        "/ui/?token=secret",
    ],
)
def test_everything_below_is_the_page(page: HttpHarness, path: str) -> None:
    answer = page.ask(f"GET {path}")
    assert (answer.status, answer.headers["content-type"]) == (200, HTML)
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["cache-control"] == "no-cache"


def test_scripts_have_the_version_in_their_address_and_are_kept(page: HttpHarness) -> None:
    src = script_of(page)
    assert src.startswith("/ui/assets/")
    assert src != "/ui/assets/app.js"
    answer = page.ask(f"GET {src}")
    assert (answer.status, answer.text) == (200, SCRIPT)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    # relative imports stay in the same version
    assert page.ask(f"GET {src.removesuffix('app.js')}pages/nodes.js").status == 200
    plain = page.ask("GET /ui/assets/app.js")
    assert (plain.text, plain.headers["cache-control"]) == (SCRIPT, "no-cache")


@pytest.mark.parametrize("name", ["none.js", "ffffffffffffffffffff/app.js", "", "pages", "../index.html"])
def test_an_asset_that_is_not_there(page: HttpHarness, name: str) -> None:
    answer = page.ask(f"GET /ui/assets/{name.replace('..', '%2e%2e')}")
    assert answer.status in (404, 301)
    if answer.status == 404:
        assert answer.headers["cache-control"] == "no-store"


def test_compressed_for_those_who_take_it(page: HttpHarness) -> None:
    plain = page.ask("GET /ui/assets/app.js")
    assert "content-encoding" not in plain.headers
    packed = page.begin("GET /ui/assets/app.js", Accept_Encoding="br, gzip")
    head, _, body = packed.raw.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body).decode() == SCRIPT
    assert len(body) < len(SCRIPT) / 10
    for answer in (plain, packed.answer):
        assert answer is not None
        assert answer.headers["vary"] == "Accept-Encoding"
    assert "vary" not in page.ask("GET /ui/assets/dot.png").headers


def test_what_the_browser_has_is_not_sent_again(page: HttpHarness) -> None:
    for encoding in ("identity", "gzip"):
        tag = page.ask("GET /ui/assets/app.js", Accept_Encoding=encoding).headers["etag"]
        again = page.ask("GET /ui/assets/app.js", Accept_Encoding=encoding, If_None_Match=tag)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert page.ask("GET /ui/assets/app.js", Accept_Encoding="identity", If_None_Match=tag).status == 200


def test_head_has_the_headers_of_get(page: HttpHarness) -> None:
    got = page.ask("GET /ui/assets/app.js")
    head = page.ask("HEAD /ui/assets/app.js")
    assert head.body == b""
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_page_is_only_read(page: HttpHarness, method: str) -> None:
    answer = page.ask(f"{method} /ui/")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_policy_of_our_own_page(page: HttpHarness) -> None:
    for path in ("/ui/", "/ui/assets/app.js", "/ui/assets/none.js"):
        headers = page.ask(f"GET {path}").headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "unsafe" not in POLICY


def test_configured_headers_win(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Content-Security-Policy": "default-src *", "cache-control": "no-store", "X-Mine": "1"}
    harness = HttpHarness(ui_dir=str(folder), response_headers=headers)
    answer = harness.ask("GET /ui/assets/app.js")
    assert answer.headers["content-security-policy"] == "default-src *"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-mine"] == "1"
    assert "x-mine" not in harness.ask("GET /ui").headers, "as in Consul"


def test_another_content_path(folder: Path) -> None:
    harness = HttpHarness(ui_dir=str(folder), ui_content_path="/tools/consul/")
    assert harness.ask("GET /").headers["location"] == "/tools/consul/"
    assert harness.ask("GET /tools/consul?a=b").headers["location"] == "/tools/consul/?a=b"
    assert script_of(harness, "/tools/consul/") == "/tools/consul/assets/app.js"
    assert harness.ask("GET /ui/").status == 404


def test_a_folder_is_served_as_it_is_now(folder: Path) -> None:
    harness = HttpHarness(ui_dir=str(folder))
    tag = harness.ask("GET /ui/assets/app.js").headers["etag"]
    (folder / "assets" / "app.js").write_text("changed")
    changed = harness.ask("GET /ui/assets/app.js", If_None_Match=tag)
    assert (changed.status, changed.text, changed.headers["cache-control"]) == (200, "changed", "no-cache")
    (folder / "assets" / "app.js").unlink()
    assert harness.ask("GET /ui/assets/app.js").status == 404


def test_a_foreign_page_runs_its_own_scripts_but_in_no_frame(folder: Path) -> None:
    headers = HttpHarness(ui_dir=str(folder)).ask("GET /ui/").headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_index_of_a_folder_knows_whether_access_control_is_on(folder: Path) -> None:
    (folder / "index.html").write_text("{{if .ACLsEnabled}}on{{else}}off{{end}} {{.ACLsEnabled}}")
    harness = HttpHarness(ui_dir=str(folder))
    assert harness.ask("GET /ui/").text == "off false"


def test_a_template_that_is_not_understood_says_where(folder: Path) -> None:
    (folder / "index.html").write_text("\n{{range .X}}{{end}}")
    answer = HttpHarness(ui_dir=str(folder)).ask("GET /ui/")
    assert (answer.status, answer.text) == (500, "index.html: line 2: {{range .X}} is not supported")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    answer = HttpHarness(ui_dir=str(tmp_path / "none")).ask("GET /ui/dc1/services")
    assert answer.status == 404
    assert "ui_dir" in answer.text


def test_only_regular_files_of_a_sane_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "FILE_MAX_BYTES", 100)
    harness = HttpHarness(ui_dir=str(folder))
    answer = harness.ask("GET /ui/assets/app.js")
    assert answer.status == 500
    assert str(folder) not in answer.text
    assert harness.ask("GET /ui/assets").status == 200  # a folder: the page


def test_a_folder_has_a_bounded_part_of_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MEMORY_MAX_BYTES", 3000)
    files = disk.FolderFiles(str(folder))
    for number in range(20):
        (folder / f"{number}.bin").write_bytes(bytes(1000))
        assert files.find(f"{number}.bin") is not None
    assert files.bytes_in_memory <= 3000


def test_a_large_file_is_sent_whole(folder: Path) -> None:
    data = bytes(range(256)) * 4096 * 2
    (folder / "large.png").write_bytes(data)
    answer = HttpHarness(ui_dir=str(folder)).ask("GET /ui/large.png")
    assert (answer.body, answer.headers["content-length"]) == (data, str(len(data)))


def test_one_connection_for_page_and_api(page: HttpHarness) -> None:
    client = page.begin("GET /ui/")
    client.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client.send(b"GET /ui/assets/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.raw.count(b"HTTP/1.1 200 OK") == 3


def test_the_packaged_page_is_there() -> None:
    answer: Response = HttpHarness(ui=True).ask("GET /ui/dc1/overview")
    assert (answer.status, answer.headers["content-type"]) == (200, HTML)
    assert "{{" not in answer.text
