"""Several ECMAScript modules as one file, so that the first view is fetched in few requests. Pure.

The files of the page are small, one concept each, and run as they are (`-ui-dir`). What `index.html` preloads is
fetched by every view; it is sent as one module, in the place of the script of `index.html`. Each module stays in a
scope of its own.

Understood are the forms that the page's modules have: `import { a as b } from './c.js'`, exports of declarations that
are assigned once, `export { a as b }`, `export default` where a module is not joined. Modules do not import each other
in a circle.
Source: ECMAScript 2020 section 15.2; docs/page.md, "How it is made".
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Final

from consulpy.http.ui.paths import ASSETS, INDEX

_CONTENT_PATH: Final = re.escape("{{.ContentPath}}")
_ENTRY: Final = re.compile(rf'<script type="module" src="{_CONTENT_PATH}({ASSETS}[^"]+)">')
_PRELOAD: Final = re.compile(rf'[ \t]*<link rel="modulepreload" href="{_CONTENT_PATH}({ASSETS}[^"]+)">\n?')
#: Statements begin a line, or follow another one in a file without spaces.
_START: Final = r"(?:^|(?<=[;}]))"
_IMPORT: Final = re.compile(_START + r"""import\s*\{([^}]*)\}\s*from\s*(['"])(\.[^'"]+)\2\s*;?""", re.MULTILINE)
_LIST: Final = re.compile(_START + r"export\s*\{([^}]*)\}\s*;?", re.MULTILINE)
_DECLARED: Final = re.compile(r"^export (?=(?:const|class|function|async function) ([\w$]+))", re.MULTILINE)
_LEFT: Final = re.compile(r"^(?:import\b(?!\s*[(.])|export\b(?! default\b)).*", re.MULTILINE)
_DYNAMIC: Final = re.compile(r"""\bimport\(\s*(['"])(\.[^'"]+)\1\s*\)""")
_SOURCE_MAP: Final = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)


class ModuleError(ValueError):
    """The modules cannot be joined; the text names the file and the statement."""


def joined(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a page with those that `index.html` preloads in one; files by name, relative to `index.html`.

    Without a module script or a preload nothing is changed. Raises `ModuleError`.
    """
    index = files.get(INDEX, b"").decode("utf-8", "surrogateescape")
    entry = _ENTRY.search(index)
    preloaded = _PRELOAD.findall(index)
    if entry is None or not preloaded:
        return dict(files)
    script = entry[1]
    parts = [*preloaded, script]
    missing = [name for name in parts if name not in files]
    if missing:
        raise ModuleError(f"{INDEX} names {missing[0]}, which is not there")
    done: dict[str, str] = {}
    for name in parts:
        _add(name, files, set(parts), done, ())
    for name, data in files.items():
        for _, other in _DYNAMIC.findall(data.decode()) if name.endswith(".js") else ():
            if _resolve(name, other) in done:
                raise ModuleError(f"{name}: import('{other}') of what {INDEX} preloads: import it by a statement")
    exports = ", ".join(_identifier(name) for name in done)
    found = {
        name: _outside(name, data, done, script) if name.endswith(".js") else data
        for name, data in files.items()
        if name not in done
    }
    found[INDEX] = _PRELOAD.sub("", index).encode("utf-8", "surrogateescape")
    found[script] = ("".join(done.values()) + f"export {{ {exports} }};\n").encode()
    return found


def _add(
    name: str, files: Mapping[str, bytes], parts: set[str], done: dict[str, str], waiting: tuple[str, ...]
) -> None:
    """Put a module among those that are `done`, after those that it imports. `waiting`: those that import it."""
    if name in done:
        return
    if name in waiting:
        raise ModuleError(f"{name} imports itself through {', '.join(waiting[waiting.index(name) + 1 :])}")
    text = files[name].decode()
    for _, _, other in _IMPORT.findall(text):
        target = _resolve(name, other)
        if target not in parts:
            raise ModuleError(f"{name} imports {target}, which {INDEX} does not preload")
        _add(target, files, parts, done, (*waiting, name))
    done[name] = _scoped(name, text)


def _scoped(name: str, text: str) -> str:
    """A module as a constant: the object of its exports."""
    exports = [(own, own) for own in _DECLARED.findall(text)]
    exports += [(outer, own) for names in _LIST.findall(text) for own, outer in _names(names)]

    def imported(found: re.Match[str]) -> str:
        return f"const {{ {_pattern(found[1])} }} = {_identifier(_resolve(name, found[3]))};"

    body = _SOURCE_MAP.sub("", _LIST.sub("", _DECLARED.sub("", _IMPORT.sub(imported, text))))
    _check(name, body, allow_default=False)
    given = ", ".join(outer if outer == own else f"{outer}: {own}" for outer, own in exports)
    return f"// {name}\nconst {_identifier(name)} = (() => {{\n{body}\nreturn {{ {given} }};\n}})();\n"


def _outside(name: str, data: bytes, done: Mapping[str, str], script: str) -> bytes:
    """A module that is fetched by itself: what it imports from the joined ones comes from `script`."""

    def imported(found: re.Match[str]) -> str:
        target = _resolve(name, found[3])
        if target not in done:
            return found[0]
        constant = _identifier(target)
        there = posixpath.relpath(script, posixpath.dirname(name))
        there = there if there.startswith(".") else f"./{there}"
        return f"import {{ {constant} }} from '{there}'; const {{ {_pattern(found[1])} }} = {constant};"

    text = data.decode()
    _check(name, _IMPORT.sub("", _LIST.sub("", _DECLARED.sub("", text))), allow_default=True)
    return _IMPORT.sub(imported, text).encode()


def _check(name: str, rest: str, *, allow_default: bool) -> None:
    """Raises `ModuleError` if a statement of import or export was not understood."""
    left = _LEFT.search(rest)
    if left is None and not allow_default:
        left = re.search(r"^export default.*", rest, re.MULTILINE)
    if left is not None:
        raise ModuleError(f"{name}: {left[0][:80]} is not understood")


def _names(text: str) -> list[tuple[str, str]]:
    """Pairs of a list of imports or exports: `a as b` is (a, b), `a` is (a, a)."""
    pairs = [each.split(" as ") for each in text.split(",") if each.strip()]
    return [(pair[0].strip(), pair[-1].strip()) for pair in pairs]


def _pattern(text: str) -> str:
    """A list of imports as a pattern that takes them out of an object."""
    return ", ".join(outer if outer == own else f"{outer}: {own}" for outer, own in _names(text))


def _resolve(name: str, other: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), other))


def _identifier(name: str) -> str:
    """The constant of a module: letters and digits of its name, the others as their code."""
    return "$" + re.sub(r"\W", lambda found: f"${ord(found[0]):x}_", name.removeprefix(ASSETS).removesuffix(".js"))
