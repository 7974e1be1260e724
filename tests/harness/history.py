"""Linearizability of the history of a lockable key (algorithm of Wing and Gong).

Operations whose times overlap may have happened in either order; one that was never answered may or may not have
happened, at any later time.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

NEVER: Final = float("inf")


class Key(NamedTuple):
    """The state of a key. `holder`: a session, "" for none; each change makes `value` or `holder` new.

    A set takes `lock_index` back to 0, as a real server's does.
    """

    value: str
    holder: str = ""
    lock_index: int = 0


@dataclass(eq=False)
class Operation:
    """A request. `done`: its result, None without a response (then `end` is `NEVER`).

    `kind` is read, cas, acquire, release or destroy; `seen` is what a read saw or a `cas` expects.
    """

    kind: str
    begin: float
    end: float = NEVER
    done: bool | None = None
    session: str = ""
    value: str = ""
    seen: Key | None = None

    def apply(self, key: Key) -> tuple[bool, Key]:
        """The result, and the key afterwards, if it happens now."""
        if self.kind == "read":
            return key == self.seen, key
        if self.kind == "cas":
            return (True, Key(self.value, key.holder)) if key == self.seen else (False, key)
        if self.kind == "acquire":
            if key.holder not in ("", self.session):
                return False, key
            return True, Key(self.value, self.session, key.lock_index + (not key.holder))
        if key.holder != self.session:
            return self.kind == "destroy", key
        return True, key._replace(holder="", value=self.value or key.value)


def linearizable(history: list[Operation], start: Key) -> bool:
    """Whether an order of the operations is consistent with their times and with a key whose first state is `start`."""
    history = sorted(history, key=lambda operation: operation.begin)
    seen: set[tuple[frozenset[int], Key]] = set()
    todo = [(frozenset(range(len(history))), start)]
    while todo:
        left, key = todo.pop()
        if (left, key) in seen:
            continue
        seen.add((left, key))
        if all(history[number].done is None for number in left):
            return True
        first_end = min(history[number].end for number in left)
        for number in left:
            operation = history[number]
            if operation.begin > first_end:
                continue
            answer, after = operation.apply(key)
            if operation.done is None or operation.done is answer:
                todo.append((left - {number}, after))
    return False
