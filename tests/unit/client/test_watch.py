"""What handlers of watches get, and when."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.client.watch import Watched
from consulpy.gocompat.json_encode import compact_json

#: Answers of an agent with missing, null, unknown and newer fields, and what `consul watch` of 1.8.7 gave its handler.
RESULTS = json.loads(Path(__file__).with_name("watch_results.json").read_text())
#: Events whose indexes (the halves of the UUID, combined by exclusive or) go up and down.
FIRST, SECOND, THIRD = (
    {"ID": f"00000000-0000-0000-0000-00000000000{number}", "Name": "deploy"} for number in (5, 2, 9)
)


@pytest.mark.parametrize("case", RESULTS, ids=[f"{case['type']}-{place}" for place, case in enumerate(RESULTS)])
def test_handlers_get_the_records_of_consuls_client(case: dict[str, Any]) -> None:
    watched = Watched(case["type"])
    assert watched.is_news(7, case["agent"])
    assert compact_json(watched.result).decode() == case["handler"]


def names(watched: Watched) -> list[str]:
    return [event["ID"][-1] for event in watched.result]


def test_each_event_comes_once() -> None:
    watched = Watched("event")
    assert watched.is_news(1, [])
    assert watched.result == []
    assert watched.is_news(5, [FIRST])
    assert names(watched) == ["5"]
    assert watched.is_news(2, [FIRST, SECOND])
    assert names(watched) == ["2"]
    assert not watched.is_news(2, [FIRST, SECOND])
    assert watched.is_news(9, [FIRST, SECOND, THIRD])
    assert names(watched) == ["9"]


def test_all_events_come_when_the_last_one_is_no_longer_kept() -> None:
    watched = Watched("event")
    watched.is_news(5, [FIRST])
    assert watched.is_news(9, [SECOND, THIRD])
    assert names(watched) == ["2", "9"]


def test_an_equal_result_is_no_news() -> None:
    watched = Watched("services")
    assert watched.is_news(5, {"web": []})
    assert not watched.is_news(6, {"web": []})
    assert watched.position == 6
    assert watched.is_news(7, {"web": ["a"]})


def test_after_a_failure_the_agent_is_queried_from_the_start_and_its_answer_is_news() -> None:
    """It may be another one, or one that was restarted, with lower indexes: a query for a later one would wait."""
    watched = Watched("services")
    watched.is_news(500, {"web": []})
    watched.failed()
    assert watched.position is None
    assert watched.is_news(20, {"web": []})
