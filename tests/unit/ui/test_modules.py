"""The page's pure modules under node's own test runner, and rules that hold for all of the page's files."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "consulpy" / "ui" / "static"
ASSETS = PAGE / "assets"
OURS = sorted(path for path in ASSETS.rglob("*.js") if "vendor" not in path.parts)
#: TypeScript's compiler, put there by `tests/peers/tools`.
TSC = Path(os.environ.get("CONSULPY_TOOLS", "/usr/local/lib/consulpy-peers")) / "ui/node_modules/typescript/bin/tsc"
CHECK = ("--checkJs", "--allowJs", "--noEmit", "--target", "es2023", "--lib", "es2023,dom,dom.iterable", "--module",
         "esnext", "--moduleResolution", "bundler")  # fmt: skip
DEPENDENCIES = (HERE.parents[2] / "docs" / "dependencies.md").read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: tests/peers/tools installs it")
def test_the_modules_do_what_their_tests_say() -> None:
    done = subprocess.run(
        ["node", "--test", *map(str, sorted(HERE.glob("*.test.mjs")))], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


@pytest.mark.skipif(
    shutil.which("node") is None or not TSC.exists(),
    reason="node or TypeScript is not installed: tests/peers/tools installs them",
)
def test_the_types_that_comments_name_are_those_that_are_used() -> None:
    done = subprocess.run(["node", TSC, *CHECK, *OURS], capture_output=True, text=True, cwd=ASSETS, timeout=120)
    lines = [line for line in done.stdout.splitlines() if not line.startswith((" ", "vendor/"))]
    assert lines == [], "\n".join(lines)


@pytest.mark.parametrize("path", OURS, ids=[str(path.relative_to(ASSETS)) for path in OURS])
def test_nothing_from_outside_becomes_markup_or_code(path: Path) -> None:
    """Lit sets text; what could turn text into markup, code or a lasting secret is not used at all."""
    text = path.read_text()
    for word in ("unsafeHTML", "unsafeSVG", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "srcdoc", "DOMParser", "document.cookie"):  # fmt: skip
        assert word not in text, word
    assert re.findall(r"\bstyle=[\"'$]", text) == [], "the policy forbids style attributes"
    stored = re.findall(r"localStorage\.\w+\([^)]*\)", text)
    assert not any("token" in each.lower() for each in stored), stored
    assert text.count("\n") <= 320, "one concept a file"


@pytest.mark.parametrize("path", [*sorted(ASSETS.rglob("*.css")), PAGE / "index.html"], ids=lambda path: path.name)
def test_sheet_and_index_name_no_other_host(path: Path) -> None:
    text = path.read_text()
    assert "//" not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).replace("<!doctype html>", "")
    assert "url(" not in text
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


def test_every_file_that_is_named_is_there() -> None:
    index = (PAGE / "index.html").read_text()
    for name in re.findall(r'\{\{\.ContentPath\}\}(assets/[^"]+)"', index):
        assert (PAGE / name).is_file(), name
    for path in OURS:
        for name in re.findall(r"from '(\.[^']+)'", path.read_text()):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_the_vendored_library_is_byte_for_byte_what_the_registry_has() -> None:
    """Name, version and SHA-256 of each file stand in docs/dependencies.md."""
    vendored = sorted((ASSETS / "vendor").rglob("*.js"))
    assert len(vendored) == 4
    for path in vendored:
        name = path.relative_to(ASSETS / "vendor" / "lit-html")
        assert f"`{name}` `{hashlib.sha256(path.read_bytes()).hexdigest()}`" in DEPENDENCIES, name
    assert "BSD 3-Clause" in (ASSETS / "vendor" / "lit-html" / "LICENSE").read_text()
