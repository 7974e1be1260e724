"""Modules that `index.html` preloads are one file, which does what they did."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consulpy.http.ui.disk import PACKAGED
from consulpy.http.ui.modules import ModuleError, joined

LIBRARY = """/* a; b */
const t=1;class i{constructor(){this.n=t}}export{i as Thing,t as one};
//# sourceMappingURL=library.js.map
"""
STATE = """export { Thing };
import { Thing, one as first } from './vendor/library.js';

let calls = 0;
/** import { nothing } from './comment.js' */
export const said = [];
export function say(text) { calls += 1; said.push(`${first}${calls}${text}`); }
export async function later() { return import('./pages/page.js'); }
"""
APP = """import { later, say, said } from './state.js';
import {
  Thing as Other,
} from './vendor/library.js';

say(new Other().n);
later().then((page) => page.default()).then(() => process.stdout.write(said.join(' ')));
"""
PAGE = """import { said, say as tell, Thing } from '../state.js';
import { word } from '../extra.js';
export default () => { tell(word); tell(new Thing() instanceof Thing); tell(said.length); };
"""


def page(**changed: str) -> dict[str, bytes]:
    """The files of a page; `changed`: by the name without `.js`."""
    scripts = {"app": APP, "state": STATE, "vendor/library": LIBRARY, "pages/page": PAGE} | changed
    scripts.setdefault("extra", "export const word = 'w';\n")
    index = '<script type="module" src="{{.ContentPath}}assets/app.js"></script>\n'
    for name in ("state", "vendor/library"):
        index += f'<link rel="modulepreload" href="{{{{.ContentPath}}}}assets/{name}.js">\n'
    files = {f"assets/{name}.js": text.encode() for name, text in scripts.items()}
    return {**files, "index.html": index.encode(), "assets/app.css": b"import { a } from './b.js'"}


def test_one_file_takes_the_place_of_those_that_are_preloaded() -> None:
    found = joined(page())
    assert sorted(found) == ["assets/app.css", "assets/app.js", "assets/extra.js", "assets/pages/page.js", "index.html"]
    assert found["index.html"] == b'<script type="module" src="{{.ContentPath}}assets/app.js"></script>\n'
    assert found["assets/app.css"] == page()["assets/app.css"]
    assert found["assets/extra.js"] == page()["assets/extra.js"]
    assert b"sourceMappingURL" not in found["assets/app.js"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: tests/peers/tools installs it")
def test_it_does_what_the_modules_did(tmp_path: Path) -> None:
    """A module that is fetched later shares the state of the joined ones."""
    said = []
    for name, files in {"plain": page(), "joined": joined(page())}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "package.json").write_text('{"type": "module"}')
        for file, data in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(data)
        done = subprocess.run(
            ["node", str(tmp_path / name / "assets/app.js")], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said == ["111 12w 13true 143"] * 2


def test_a_page_without_preloads_is_left_as_it_is() -> None:
    files = page()
    files["index.html"] = files["index.html"].partition(b"\n")[0]
    assert joined(files) == files
    assert joined({"index.html": b"<p>no script"}) == {"index.html": b"<p>no script"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"state": "export * from './extra.js';"}, r"assets/state.js: export \* from './extra.js'; is not understood"),
        ({"state": "import all from './vendor/library.js';"}, "state.js: import all"),
        ({"state": "export let said = 1;"}, "state.js: export let"),
        ({"app": "export default 1;"}, "app.js: export default"),
        ({"pages/page": "import './state.js';"}, "pages/page.js: import"),
        ({"state": "import { word } from './extra.js';"}, "extra.js, which index.html does not preload"),
        ({"state": "import { a } from './app.js';"}, "imports itself"),
        ({"app": "await import('./state.js');"}, r"app.js: import\('./state.js'\) of what index.html preloads"),
        ({"pages/page": "await import('../state.js');"}, r"page.js: import\('../state.js'\) of what"),
    ],
)
def test_what_is_not_understood_is_named(changed: dict[str, str], why: str) -> None:
    with pytest.raises(ModuleError, match=why):
        joined(page(**changed))
    with pytest.raises(ModuleError, match=r"assets/state.js, which is not there"):
        joined({name: data for name, data in page().items() if "state" not in name})


def test_the_page_of_the_package_is_few_files() -> None:
    """Each page with what it imports, beside index, sheet, icon and script: 10 requests at most."""
    files = {path.relative_to(PACKAGED).as_posix(): path.read_bytes() for path in PACKAGED.rglob("*") if path.is_file()}
    found = joined(files)
    assert b"modulepreload" not in found["index.html"]
    pages = [name for name in found if name.startswith("assets/pages/")]
    assert len(pages) > 15

    def needs(name: str) -> set[str]:
        direct = {
            str((Path("/") / name).parent.joinpath(other).resolve()).removeprefix("/")
            for other in re.findall(r"from '(\.[^']+)'", found[name].decode())
        }
        return {name}.union(*map(needs, direct)) if name != "assets/app.js" else {name}

    for name in pages:
        fetched = needs(name) | {"index.html", "assets/app.css", "assets/icon.svg", "assets/app.js"}
        assert fetched <= set(found)
        assert len(fetched) <= 10, sorted(fetched)
