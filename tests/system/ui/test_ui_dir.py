"""`-ui-dir` in a real agent and in ours: templates byte for byte, and Consul's own page on ours.

The page's files are taken from a running real agent; none of them is kept.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.pair import OURS, SERVER, Agent, agents, page_of

pytestmark = pytest.mark.peers

TEMPLATES = [
    "plain { } <b>&amp;</b>",
    "{{.ContentPath}}assets/a.js {{ .ContentPath }}",
    "{{.ACLsEnabled}}",
    "{{.Unknown}}",
    "a {{- .ContentPath -}} b\n{{- /* a comment */ -}}\n c",
    "{{/* a comment */}}x",
    "{{if .ACLsEnabled}}yes{{else}}no{{end}}",
    "{{ if .Unknown }}yes{{ else }}no{{ end }}",
    "{{if .ContentPath}}yes{{end}}{{if not .ContentPath}}no{{end}}",
    "{{if .Unknown}}1{{else if .ContentPath}}2{{else}}3{{end}}",
    "{{if .Unknown}}a{{if .ContentPath}}b{{end}}c{{else}}d{{end}}e",
    '{{"{{"}} {{`a"b`}} {{"a\\"b"}}',
    "\xff\xfe",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[tuple[Agent, Agent]]:
    directory = tmp_path_factory.mktemp("ui-dir")
    flags = ("-ui-dir", str(folder), "-ui-content-path", "tools/ui")
    with agents(directory, *flags, real="127.38.0.3", ours="127.38.0.4") as found:
        yield found


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_are_rendered_alike(pair: tuple[Agent, Agent], folder: Path, template: str) -> None:
    (folder / "index.html").write_bytes(template.encode("latin-1"))
    bodies = [agent.ask("/tools/ui/").body for agent in pair]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("template", ["{{", "{{if .A}}", "{{end}}", "{{else}}", "{{.A", "{{foo}}", "{{}}"])
def test_what_is_no_template_is_an_error_in_both(pair: tuple[Agent, Agent], folder: Path, template: str) -> None:
    (folder / "index.html").write_text(template)
    real, ours = (agent.ask("/tools/ui/") for agent in pair)
    assert ours.status == 500
    assert real.status != 200 or template.encode() not in real.body


@pytest.mark.parametrize("path", ["/", "/tools/ui", "/tools/ui?a=b", "/tools", "/ui/", "/ui"])
def test_the_ways_to_the_page(pair: tuple[Agent, Agent], folder: Path, path: str) -> None:
    (folder / "index.html").write_text("the page")
    real, ours = (agent.ask(path) for agent in pair)
    assert (ours.status, ours.headers.get("location"), ours.body) == (
        real.status,
        real.headers.get("location"),
        real.body,
    )


@pytest.mark.parametrize(
    "path", ["dc1/services", "dc1/services/a.b", "dc1/kv/x/edit", "file.txt", "sub/file.js", "robots.txt"]
)
def test_files_and_what_is_none(pair: tuple[Agent, Agent], folder: Path, path: str) -> None:
    (folder / "index.html").write_text("the page of {{.ContentPath}}")
    (folder / "file.txt").write_text("a file {{.ContentPath}}")
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "file.js").write_text("export {}")
    real, ours = (agent.ask(f"/tools/ui/{path}") for agent in pair)
    assert (ours.status, ours.body) == (real.status, real.body)
    assert ours.headers["content-type"].partition(";")[0] == real.headers["content-type"].partition(";")[0]


def test_consuls_own_page_on_our_agent(tmp_path: Path) -> None:
    """Each file that the page names comes with the same bytes, compressed for who takes it."""
    folder = tmp_path / "page"
    with agents(tmp_path, "-ui", real="127.38.0.5", ours="127.38.0.6") as (real, _):
        index = real.ask("/ui/").text
        names = page_of(real, folder)
    assert len(names) >= 5

    ours = Agent(OURS, "127.38.0.7", tmp_path, *SERVER, "-ui-dir", str(folder))
    try:
        ours.wait_until_it_leads()
        assert ours.ask("/ui/dc1/services").text == index
        for name in names:
            assert ours.ask(f"/ui/{name}").body == (folder / name).read_bytes()
            packed = ours.ask(f"/ui/{name}", Accept_Encoding="gzip")
            body = gzip.decompress(packed.body) if "content-encoding" in packed.headers else packed.body
            assert body == (folder / name).read_bytes()
    finally:
        ours.close()
