"""`-format`: the flag of all commands that print a table, a list or a record, and its JSON form."""

import json
from typing import Any, Final

from consulpy.gocompat.flag import Flag


def output_format(text: str) -> str:
    """ "pretty" or "json". Raises `ValueError`."""
    if text not in ("pretty", "json"):
        raise ValueError("expected pretty or json")
    return text


FORMAT: Final = Flag("format", "Output format {pretty|json}", output_format, default="pretty", placeholder="string")


def as_json(value: Any) -> str:
    """JSON as Consul's commands indent it."""
    return json.dumps(value, indent=4)


#: Of commands that list: a filter expression, which the agent evaluates.
FILTER: Final = Flag("filter", "Filter to use with the request", default="", placeholder="string")
