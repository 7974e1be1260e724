"""The routes, one file for each page of Consul's API documentation.

A file is imported for the first request below its part of the API: an agent at rest serves few of them.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

#: The first word of a path (without `v1`) -> the files with its routes.
FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "acl": ("acl", "acl_auth", "acl_legacy", "acl_templates"),
    "agent": ("agent", "agent_check", "agent_connect", "agent_health", "agent_service", "diagnosis"),
    "catalog": ("catalog",),
    "config": ("config",),
    "connect": ("connect_ca", "intention"),
    "coordinate": ("coordinate",),
    "debug": ("debug",),
    "discovery-chain": ("discovery_chain",),
    "event": ("event",),
    "health": ("health",),
    "internal": ("acl", "internal"),
    "kv": ("kv",),
    "operator": ("operator", "operator_usage"),
    "query": ("prepared_query",),
    "session": ("session",),
    "snapshot": ("snapshot",),
    "status": ("status",),
    "txn": ("txn",),
}


def first_word(path: str) -> str:
    """The word of a path by which its files are found: `/v1/kv/a` -> `kv`; `/debug/pprof` -> `debug`."""
    words = [*path.split("/", 3), "", ""]
    return words[2] if words[1] == "v1" else words[1]


def load(word: str) -> None:
    """Register the routes whose paths have this first word; nothing for a word that has none."""
    for name in FILES.get(word, ()):
        import_module(f"{__name__}.{name}")


def load_all() -> None:
    """Register all routes."""
    for word in FILES:
        load(word)
