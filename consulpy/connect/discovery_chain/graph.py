"""The graph of a discovery chain: no circles, no splitter behind a splitter, no node that nothing leads to."""

from collections.abc import Iterator, Mapping
from typing import Final

from consulpy.connect.discovery_chain.request import GraphError
from consulpy.gocompat.float32 import float32, round_half_away
from consulpy.gocompat.literals import quoted
from consulpy.structs.discovery_chain import SPLITTER, ChainNode, ChainSplit

#: Most splits of one splitter after those behind it were merged into it: the number can double with each of them.
SPLITS_MAX: Final = 10_000
_PERCENT: Final = 100


def normalized_weight(weight: float) -> float:
    """A weight in percent, rounded to hundredths, as float32."""
    return float32(scaled_weight(weight) / _PERCENT)


def scaled_weight(weight: float) -> int:
    """A weight in hundredths of a percent."""
    return round_half_away(float32(float32(weight) * _PERCENT))


def _next_keys(node: ChainNode) -> Iterator[str]:
    for route in node.routes or ():
        yield route.next_node
    for split in node.splits or ():
        yield split.next_node


def check_no_circle(nodes: Mapping[str, ChainNode], start: str) -> None:
    """Raises `GraphError` naming the nodes of a circle."""
    finished: set[str] = set()
    path: dict[str, Iterator[str]] = {start: _next_keys(nodes[start])}
    while path:
        key, following = next(reversed(path.items()))
        for next_key in following:
            if next_key in path:
                circle = [*path][[*path].index(next_key) :]
                raise GraphError(f"detected circular reference: [{' -> '.join([*circle, next_key])}]")
            if next_key not in finished:
                path[next_key] = _next_keys(nodes[next_key])
                break
        else:
            finished.add(key)
            del path[key]


def flattened(nodes: dict[str, ChainNode], service: str) -> dict[str, ChainNode]:
    """The nodes of a graph without circles, with the splits of splitters behind splitters merged into the first ones.

    Weights are multiplied. Raises `GraphError` where there would be more than `SPLITS_MAX`.
    """
    done: set[str] = set()
    for first in [key for key, node in nodes.items() if node.type == SPLITTER]:
        pending = [first]
        while pending:
            node = nodes[pending[-1]]
            behind = [each.next_node for each in node.splits or () if nodes[each.next_node].type == SPLITTER]
            unfinished = [key for key in behind if key not in done]
            if unfinished:
                pending += unfinished
                continue
            if node.key not in done:
                node.splits = _merged(node.splits or [], nodes, service)
                done.add(node.key)
            pending.pop()
    return nodes


def _merged(splits: list[ChainSplit], nodes: Mapping[str, ChainNode], service: str) -> list[ChainSplit]:
    merged: list[ChainSplit] = []
    for split in splits:
        behind = nodes[split.next_node]
        if behind.type != SPLITTER:
            merged.append(split)
            continue
        for inner in behind.splits or ():
            product = float32(float32(split.weight * inner.weight) / _PERCENT)
            merged.append(ChainSplit(normalized_weight(product), inner.next_node))
        if len(merged) > SPLITS_MAX:
            raise GraphError(f"discovery chain {quoted(service)} has more than {SPLITS_MAX} splits")
    return merged


def reachable(nodes: Mapping[str, ChainNode], start: str) -> dict[str, ChainNode]:
    """The nodes that `start` leads to, with itself."""
    found = {start: nodes[start]}
    pending = [start]
    while pending:
        for key in _next_keys(nodes[pending.pop()]):
            if key not in found:
                found[key] = nodes[key]
                pending.append(key)
    return found
