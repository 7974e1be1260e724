"""Sphinx: the site in docs/, built by `.ci/run docs` with warnings as errors."""

import re
from importlib import metadata

project = "consulpy"
author = "the consulpy authors"
project_copyright = author
release = metadata.version("consulpy")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"consulpy {release}"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The wire pages number their sections and begin tables with what has no lexer.
suppress_warnings = ["misc.highlighting_failure"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
nitpicky = False


def _as_text(_app: object, _kind: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in single backticks: as reStructuredText, nothing else is markup."""
    out = []
    for line in lines:
        parts = re.split(r"(`[^`]+`)", line)
        out.append(
            "".join(f"`{p}`" if p.startswith("`") and len(p) > 2 else re.sub(r"([*_|\\])", r"\\\1", p) for p in parts)
        )
    lines[:] = out


def setup(app: object) -> None:
    """Connect the reader of docstrings."""
    app.connect("autodoc-process-docstring", _as_text)  # type: ignore[attr-defined]
