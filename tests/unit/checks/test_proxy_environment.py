"""Which checks go by a proxy: the rules of Go's HTTP client, which a real agent follows."""

import pytest

from consulpy.checks.proxy_environment import Proxies
from consulpy.checks.result import CheckFailed
from consulpy.checks.url import parse

PROXY = "http://user:pass@proxy:3128"


def used(url: str, **environment: str) -> str:
    found = Proxies.of({"HTTP_PROXY": PROXY, **environment}).of_url(parse(url))
    return "" if found is None else found.host


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://h.example/", "proxy:3128"),
        ("http://10.0.0.1:80/", "proxy:3128"),
        ("https://h.example/", ""),
        ("http://localhost:80/", ""),
        ("http://127.0.0.5/", ""),
        ("http://[::1]/", ""),
    ],
)
def test_checks_of_this_host_and_of_another_scheme_go_by_none(url: str, proxy: str) -> None:
    assert used(url) == proxy


@pytest.mark.parametrize(
    ("rules", "goes_by_none"),
    [
        ("*", True),
        ("h.example", True),
        (" H.example , x", True),
        (".example", True),
        ("*.example", True),
        ("example", True),
        ("a.h.example", False),
        ("ample", False),
        ("h.example:8080", True),
        ("h.example:81", False),
        ("10.0.0.0/8", False),
    ],
)
def test_names_of_no_proxy(rules: str, goes_by_none: bool) -> None:
    assert (used("http://h.example:8080/", NO_PROXY=rules) == "") is goes_by_none


@pytest.mark.parametrize(("rules", "goes_by_none"), [("10.1.2.3", True), ("10.0.0.0/8", True), ("10.2.0.0/16", False)])
def test_addresses_of_no_proxy(rules: str, goes_by_none: bool) -> None:
    assert (used("http://10.1.2.3/", no_proxy=rules) == "") is goes_by_none


def test_the_variables_may_be_in_small_letters_and_without_a_scheme() -> None:
    found = Proxies.of({"https_proxy": "proxy:8080"}).of_url(parse("https://h.example/"))
    assert found is not None
    assert found.address == ("proxy", "8080")


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "http://pro xy"])
def test_a_proxy_that_cannot_be_used_is_an_error(proxy: str) -> None:
    with pytest.raises(CheckFailed, match="prox"):
        used("http://h.example/", HTTP_PROXY=proxy)
