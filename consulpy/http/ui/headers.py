"""The headers of the web page's files: what a browser may do with them, and how long it may keep them. Pure.

Source: Content Security Policy Level 3; Trusted Types; RFC 8246 (immutable).
"""

from typing import Final

#: The page loads and calls its own agent only, and makes markup through lit-html only.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)
#: For another page (`ui_dir`), whose scripts are not ours to judge: not in another page's frame.
FOREIGN_POLICY: Final = "frame-ancestors 'none'"
#: A file whose address has its version.
FOREVER: Final = "public, max-age=31536000, immutable"
#: Revalidated each time: with the ETag that costs nothing.
ASK: Final = "no-cache"
#: An answer that is only so now: the file may be on the next agent.
NEVER: Final = "no-store"

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OWN: Final = (
    *_ALWAYS,
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_FOREIGN: Final = (*_ALWAYS, (b"content-security-policy", FOREIGN_POLICY.encode()))


def security_headers(*, is_own: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of every response below the content path. `is_own`: the page is that of this package."""
    return _OWN if is_own else _FOREIGN
