"""Record what Go's regexp says: `python tests/unit/gocompat/record_regexp.py URL` of a real `consul agent -dev`.

Matches and errors come from the filter `Meta.t matches "..."` over services, groups from the template of a prepared
query. Writes tests/vectors/regexp.json.
"""

import json
import random
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TEXTS = [
    *(
        "",
        "a",
        "ab",
        "aab",
        "abc",
        "A",
        "B",
        "a b",
        "a\nb",
        "-",
        "a-b",
        "1",
        "12",
        "é",
        "ß",
        "web-1",
        "aaaa",
        "_",
        "\t",
    ),
    *("x{2}", "\u017f", "K", "αβγ", "x.*", "Z1-"),
]
PATTERNS = Path(__file__).with_name("patterns.txt").read_text().splitlines()
PIECES = [
    *("a", "b", ".", "[ab]", "[^a]", "(a|b)", "(?:ab)", "^", "$", r"\b", "a|b", r"\w", "(?i:B)", r"\pL", "[[:alpha:]]"),
    *(
        "(?P<x>a)",
        "*",
        "+",
        "?",
        "{2}",
        "{1,}",
        "{3,1}",
        "??",
        "(",
        ")",
        "[",
        r"\Q",
        r"\E",
        "(?i)",
        "(?U)",
        r"\1",
        r"\C",
    ),
    *("|", "\\", "(?<x>a)", "{1001}", "(?P<", "-", "]"),
]
TEMPLATES = [
    r"^geo-([[:alpha:]]+)",
    r"^geo-(\pL+)(x)?",
    r"^geo-(\Qa.b\E)",
    "(?U)^geo-(.+)",
    "^geo-(.*?)-([^-]+)$",
    "(a+)+$",
]
NAMES = ["geo-abc", "geo-a.b", "geo-web-eu", "geo-abcx", "geo-1"]


def main(url: str) -> None:
    rng = random.Random(7)
    for number, text in enumerate(TEXTS):
        call(url, "PUT", "/v1/agent/service/register", {"Name": f"s{number}", "Meta": {"t": text}})
    patterns = [*PATTERNS, *("".join(rng.choices(PIECES, k=rng.randint(1, 6))) for _ in range(900))]
    cases = [{"pattern": pattern, "go": search(url, pattern)} for pattern in dict.fromkeys(patterns)]
    groups = [case for template in TEMPLATES for case in submatches(url, template)]
    target = Path(__file__).parents[2] / "vectors" / "regexp.json"
    target.write_text(
        json.dumps({"texts": TEXTS, "cases": cases, "groups": groups}, ensure_ascii=False, indent=0) + "\n"
    )


def search(url: str, pattern: str) -> str:
    """`TEXTS` by number: "1" where the pattern is found, "0" where not; or the error."""
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    query = urllib.parse.quote(f'Meta.t matches "{escaped}"', safe="")
    status, body = call(url, "GET", f"/v1/agent/services?filter={query}")
    if status != 200:
        return body[body.index("error parsing regexp") :]
    return "".join("01"[f"s{number}" in json.loads(body)] for number in range(len(TEXTS)))


def submatches(url: str, template: str) -> list[dict[str, object]]:
    service = {"Service": "|".join(f"${{match({number})}}" for number in range(4))}
    body = {"Name": "geo-", "Template": {"Type": "name_prefix_match", "Regexp": template}, "Service": service}
    query = json.loads(call(url, "POST", "/v1/query", body)[1])["ID"]
    found = []
    for name in NAMES:
        explained = json.loads(call(url, "GET", f"/v1/query/{name}/explain")[1])
        found.append({"template": template, "name": name, "go": explained["Query"]["Service"]["Service"]})
    call(url, "DELETE", f"/v1/query/{query}")
    return found


def call(url: str, method: str, path: str, body: object = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, method=method, data=data)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


if __name__ == "__main__":
    main(sys.argv[1])
