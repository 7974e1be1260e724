"""Templates of prepared queries; results and errors as a real server of Consul 1.8.7 has them, unless said."""

import pytest

from consulpy.filter.hil import HilError, Template

NAMES = {"name.full": "geo-db", "name.prefix": "geo-", "name.suffix": "db", "agent.segment": ""}
GROUPS = ["geo-db", "d", "b"]


def evaluate(text: str) -> str:
    return Template(text).evaluate(NAMES, {"match": lambda n: GROUPS[n] if 0 <= n < len(GROUPS) else ""})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("a", "a"),
        ("${name.full}", "geo-db"),
        ("a-${ name.suffix }-b", "a-db-b"),
        ("${name.full}${name.suffix}", "geo-dbdb"),
        ("${match(1)}-${match( 2 )}", "d-b"),
        ("${match(1+1)}", "b"),
        ("${match(1.7)}", "d"),
        ("${match(-1)}${match(99)}", ""),
        ("${1+2*3}", "9"),
        ("${2*3+1}", "7"),
        ("${10-2-3}", "5"),
        ("${(1+2)*3}", "9"),
        ("${10/4}", "2"),
        ("${-7/2}", "-3"),
        ("${-7%3}", "-1"),
        ("${1.5+1}", "2.5"),
        ("${1+1.5}", "2"),
        ("${1.0}", "1"),
        ("${010}", "8"),
        ("${-1}", "-1"),
        ("${9223372036854775807+1}", "-9223372036854775808"),
        ('${"x${name.suffix}y"}', "xdby"),
        ('${"${"${name.suffix}"}"}', "db"),
        ('${"a\\"b"}', 'a"b'),
        ('${"a\\nb"}', "a\nb"),
        ('${"a\\qb"}', "a\\qb"),
        ("$${x}", "${x}"),
        ("a$$b", "a$b"),
        ("$$${name.suffix}", "$db"),
        ("$x}", "$x}"),
        ("${1}${2}", "12"),
        ('${"${1}" + 1}', "2"),
    ],
)
def test_values(text: str, result: str) -> None:
    assert evaluate(text) == result


SYNTAX = "parse error: syntax error"


@pytest.mark.parametrize(
    ("text", "fault", "is_syntax"),
    [
        ("${", SYNTAX, True),
        ("${}", SYNTAX, True),
        ("${name.full", SYNTAX, True),
        ("${1+}", SYNTAX, True),
        ("${(1}", SYNTAX, True),
        ("${1 2}", SYNTAX, True),
        ("${08}", SYNTAX, True),
        ("${0x10}", SYNTAX, True),
        ("${1.2.3}", SYNTAX, True),
        ("${1e5}", SYNTAX, True),
        ("${!1}", SYNTAX, True),
        ("${1 ? 2 : 3}", SYNTAX, True),
        ('${"a}', SYNTAX, True),
        ("${match(1}", SYNTAX, True),
        ("${100000000000000000000}", SYNTAX, True),
        ("${nope}", "1:3: unknown variable accessed: nope", False),
        ("  ${nope}", "1:5: unknown variable accessed: nope", False),
        ("x\n${nope}", "2:4: unknown variable accessed: nope", False),
        ("${name.*}", "1:3: unknown variable accessed: name.*", False),
        ('${upper("a")}', "1:3: unknown function called: upper", False),
        ("${match()}", "1:3: match: expected 1 arguments, got 0", False),
        ("${match(1,2)}", "1:3: match: expected 1 arguments, got 2", False),
        ("${match(nope)}", "1:9: unknown variable accessed: nope", False),
        ("${a[0]}", "At column 3, line 1: unknown variable accessed: a", False),
        ("${name.full[0]}", "At column 3, line 1: invalid index operation into non-indexable type: TypeString", False),
        ("${1.5%2}", "At column 3, line 1: modulo cannot be used with floats", False),
        ('${"a" + 1}', '__builtin_StringToInt: strconv.ParseInt: parsing "a": invalid syntax', False),
    ],
)
def test_errors(text: str, fault: str, is_syntax: bool) -> None:
    with pytest.raises(HilError) as raised:
        evaluate(text)
    assert (str(raised.value), raised.value.is_syntax) == (fault, is_syntax)


@pytest.mark.parametrize(
    "text", ["${+1}", "${1 - +1}", "${*1}", "${1/0}", "${1%0}", '${"1" + 2}', '${match("1")}', "${match(match(0)) + 1}"]
)
def test_what_ends_real_servers_is_refused(text: str) -> None:
    with pytest.raises(HilError):
        evaluate(text)


@pytest.mark.parametrize(
    "text",
    ["${" + "-" * 5000 + "1}", "${" + "1+" * 5000 + "1}", "${" + "(" * 5000 + "1" + ")" * 5000 + "}", '${"' * 3000],
)
def test_endless_templates_are_refused_at_once(text: str) -> None:
    with pytest.raises(HilError, match="more than 1000 expressions, or 100 nested ones"):
        Template(text)
