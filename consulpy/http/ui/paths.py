"""Which file of the web page a path means. Pure; the rules are those of docs/operating.md, "The web page".

Names of nodes and services have dots and slashes, so the end of a path decides nothing: what is no file is the page.
"""

from dataclasses import dataclass
from typing import Final

#: The page itself.
INDEX: Final = "index.html"
#: The folder of what the page loads.
ASSETS: Final = "assets/"
#: Asked by crawlers at the top, wherever the page is.
ROBOTS: Final = "robots.txt"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file or view that a path means. `name`: of a file below the folder of the page.

    `is_pinned`: the address has the version of the files in it, so its content never changes. `or_index`: the page
    stands for a file that is not there.
    """

    name: str
    is_pinned: bool = False
    or_index: bool = False


def wanted(path: str, content_path: str, version: str = "") -> Wanted | None:
    """Parse a decoded path; None: not one of the page. `content_path`: begins and ends with a slash.

    `version`: of all files, as it stands in addresses under `assets/`; "": they have none.
    """
    if path == f"/{ROBOTS}":
        return Wanted(ROBOTS)
    if not path.startswith(content_path):
        return None
    name = path.removeprefix(content_path)
    if name in ("", INDEX):
        return Wanted(INDEX)
    if not name.startswith(ASSETS):
        return Wanted(name, or_index=True)
    if version and name.startswith(f"{ASSETS}{version}/"):
        return Wanted(ASSETS + name.removeprefix(f"{ASSETS}{version}/"), is_pinned=True)
    return Wanted(name)


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file below a folder: no way out of it, nothing empty, no NUL."""
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
