"""Which file of the web page a path means (ui.md section 8; Consul's -ui-content-path)."""

import pytest

from consulpy.http.ui.paths import Wanted, is_file_name, wanted

VERSION = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ui/", Wanted("index.html")),
        ("/ui/index.html", Wanted("index.html")),
        ("/ui/dc1/services", Wanted("dc1/services", or_index=True)),
        # names have dots: a service that is called like a file is a page
        ("/ui/dc1/services/app.js", Wanted("dc1/services/app.js", or_index=True)),
        ("/ui/dc1/kv/folder//create", Wanted("dc1/kv/folder//create", or_index=True)),
        ("/ui/assets/app.js", Wanted("assets/app.js")),
        (f"/ui/assets/{VERSION}/app.js", Wanted("assets/app.js", is_pinned=True)),
        (f"/ui/assets/{VERSION}/pages/nodes.js", Wanted("assets/pages/nodes.js", is_pinned=True)),
        # another version's file is not there: it would be kept for ever under a wrong address
        ("/ui/assets/ffffffffffffffffffff/app.js", Wanted("assets/ffffffffffffffffffff/app.js")),
        (f"/ui/assets/{VERSION}", Wanted(f"assets/{VERSION}")),
        ("/robots.txt", Wanted("robots.txt")),
        ("/", None),
        ("/ui", None),
        ("/uid/", None),
        ("/v1/kv/ui/", None),
    ],
)
def test_a_path_means(path: str, expected: Wanted | None) -> None:
    assert wanted(path, "/ui/", VERSION) == expected


def test_the_content_path_may_have_several_parts() -> None:
    assert wanted("/tools/consul/assets/a.js", "/tools/consul/") == Wanted("assets/a.js")
    assert wanted("/tools/", "/tools/consul/") is None


@pytest.mark.parametrize("name", ["a", "a/b.js", "..a", "a..", ".a/b", "\udcff"])
def test_names_of_files(name: str) -> None:
    assert is_file_name(name)


@pytest.mark.parametrize("name", ["", "..", ".", "../a", "a/../b", "a/..", "a//b", "/a", "a/", "a\0b", "./a"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert not is_file_name(name)
