"""A fake `KeyManager`: notes operations, and answers at once for two members."""

from collections.abc import Callable
from typing import Any

from consulpy.serf.key_manager import KeyResponse

KEY = "pUqJrVyVRj5jsiYEkM/tFQ=="


class Keys:
    """`done`: operations so far; `failures`: messages of members that fail each."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, int]] = []
        self.failures: dict[str, str] = {}

    def list(self, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        self._answer("list", "", done, relay_factor)

    def install(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        self._answer("install", key, done, relay_factor)

    def use(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        self._answer("use", key, done, relay_factor)

    def remove(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        self._answer("remove", key, done, relay_factor)

    def _answer(self, operation: str, key: str, done: Callable[[KeyResponse], Any], relay_factor: int) -> None:
        self.done.append((operation, key, relay_factor))
        listed = {KEY: 2} if operation == "list" else {}
        done(KeyResponse(dict(self.failures), 2, 2, len(self.failures), dict(listed), dict(listed)))
