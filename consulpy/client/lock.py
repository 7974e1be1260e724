"""Locks and semaphores in the format of Consul's client library, so that both exclude each other.

A lock is one key acquired with a session. A semaphore is `PREFIX/.lock` with the JSON `{"Limit": n, "Holders":
{SESSION: true}}`, changed by check-and-set, and one acquired key `PREFIX/SESSION` for each contender: a holder whose
key has lost its session is dead. Source of the flags: `consul lock` 1.8.7.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from consulpy.client.api import Client, Json, key_path
from consulpy.client.connection import AnswerError, ClientError, NoAgent
from consulpy.codec.strict_json import parse

LOCK_FLAGS: Final = 0x2DDCCBC058A50C18
SEMAPHORE_FLAGS: Final = 0xE0F69A2BAA414DE0
SESSION_TTL_S: Final = 15.0
#: Wait of one blocking query, in seconds.
_WAIT_S: Final = 15.0
#: Pause before the next attempt during a lock-delay, in seconds.
_LOCK_DELAY_PAUSE_S: Final = 5.0
_MONITOR_PAUSE_S: Final = 1.0


class Conflict(ClientError):
    """The key has another use, or the semaphore another limit."""


class InUse(ClientError):
    """Others hold it or wait for it, so it is not deleted."""


class _SessionLock:
    """The common part of lock and semaphore: the session, its renewal, and the monitor of the lock."""

    def __init__(self, client: Client, name: str, query: dict[str, Any], monitor_retries: int) -> None:
        self._client = client
        self._name = name
        self._query = query
        self._retries = monitor_retries
        self._released = threading.Event()
        self.session = ""

    def release(self) -> None:
        """Release it and destroy the session. Raises `ClientError`."""
        self._released.set()
        try:
            self._release()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Destroy the session."""
        self._released.set()
        session, self.session = self.session, ""
        if session:
            with contextlib.suppress(ClientError):
                self._client.put(f"/v1/session/destroy/{session}", self._query)

    def _release(self) -> None:
        raise NotImplementedError

    def _is_held(self, wait_index: int) -> tuple[int, bool]:
        raise NotImplementedError

    def monitor(self, lost: Callable[[], None]) -> None:
        """Call `lost` from another thread when it is no longer held."""
        threading.Thread(target=self._monitor, args=(lost,), daemon=True).start()

    def _open_session(self) -> None:
        answer = self._client.put("/v1/session/create", self._query, {"Name": self._name, "TTL": f"{SESSION_TTL_S:g}s"})
        self.session = str(answer["ID"])
        threading.Thread(target=self._renew, args=(self.session,), daemon=True).start()

    def _renew(self, session: str) -> None:
        while not self._released.wait(SESSION_TTL_S / 2):
            try:
                self._client.put(f"/v1/session/renew/{session}", self._query)
            except AnswerError as error:
                if error.status == 404:
                    return
            except ClientError:
                continue

    def _monitor(self, lost: Callable[[], None]) -> None:
        index, retries = 0, self._retries
        while not self._released.is_set():
            try:
                index, held = self._is_held(index)
                retries = self._retries
            except ClientError as error:
                passing = isinstance(error, NoAgent) or (isinstance(error, AnswerError) and error.status >= 500)
                if retries > 0 and passing:
                    retries, index = retries - 1, 0
                    self._released.wait(_MONITOR_PAUSE_S)
                    continue
                held = False
            if not held:
                break
        if not self._released.is_set():
            lost()

    def _read(self, key: str, index: int = 0, wait_s: float = _WAIT_S, **params: Any) -> tuple[int, list[Json]]:
        found, entries = self._client.watch(key_path(key), {**self._query, **params}, index, wait_s)
        return found, entries or []

    def _write(self, key: str, value: bytes, **params: Any) -> bool:
        return self._client.put(key_path(key), {"dc": self._query.get("dc"), **params}, raw_body=value) is True

    def _delete(self, key: str, **params: Any) -> bool:
        return self._client.delete(key_path(key), {"dc": self._query.get("dc"), **params}) is True


class Lock(_SessionLock):
    """A lock on `key`."""

    def __init__(self, client: Client, key: str, name: str, query: dict[str, Any], monitor_retries: int) -> None:
        super().__init__(client, name, query, monitor_retries)
        self.key = key

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Acquire it within `timeout_s` (0: no timeout); whether it was acquired. Raises `Conflict`, `ClientError`."""
        deadline = _now() + timeout_s if timeout_s else None
        self._open_session()
        index = 0
        while (left := _left(deadline)) > 0:
            index, entries = self._read(self.key, index, min(_WAIT_S, left))
            if entries:
                _check_flags(entries[0], LOCK_FLAGS, "lock")
                if entries[0].get("Session"):
                    continue
            if self._write(self.key, b"", acquire=self.session, flags=LOCK_FLAGS):
                return True
            time.sleep(max(0.0, min(_LOCK_DELAY_PAUSE_S, _left(deadline))))
            index = 0
        return False

    def _is_held(self, wait_index: int) -> tuple[int, bool]:
        index, entries = self._read(self.key, wait_index, consistent="")
        return index, bool(entries) and entries[0].get("Session") == self.session

    def _release(self) -> None:
        self._write(self.key, b"", release=self.session, flags=LOCK_FLAGS)

    def destroy(self) -> None:
        """Delete the key. Raises `InUse` while others hold it, `Conflict`."""
        _, entries = self._read(self.key)
        if not entries:
            return
        _check_flags(entries[0], LOCK_FLAGS, "lock")
        if entries[0].get("Session") or not self._delete(self.key, cas=entries[0]["ModifyIndex"]):
            raise InUse("Lock in use")


class Semaphore(_SessionLock):
    """A semaphore of `limit` holders under `prefix`."""

    def __init__(
        self, client: Client, prefix: str, limit: int, name: str, query: dict[str, Any], monitor_retries: int
    ) -> None:
        super().__init__(client, name, query, monitor_retries)
        self.prefix = prefix.rstrip("/")
        self.key = f"{self.prefix}/.lock"
        self.limit = limit

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Acquire a slot within `timeout_s` (0: no timeout); whether it was acquired. Raises `Conflict`."""
        deadline = _now() + timeout_s if timeout_s else None
        self._open_session()
        if not self._write(f"{self.prefix}/{self.session}", b"", acquire=self.session, flags=SEMAPHORE_FLAGS):
            raise ClientError("failed to make contender entry: the key is held")
        index = 0
        while (left := _left(deadline)) > 0:
            index, version, holders = self._state(index, min(_WAIT_S, left))
            if len(holders) >= self.limit:
                continue
            if self._store([*holders, self.session], version):
                return True
            index = 0
        self._delete(f"{self.prefix}/{self.session}")
        return False

    def _state(self, index: int = 0, wait_s: float = _WAIT_S, **params: Any) -> tuple[int, int, list[str]]:
        """(index, version of the lock entry, live holders)."""
        index, entries = self._read(f"{self.prefix}/", index, wait_s, recurse="", **params)
        alive = {entry["Session"] for entry in entries if entry.get("Session") and entry["Key"] != self.key}
        for entry in entries:
            if entry["Key"] != self.key:
                continue
            _check_flags(entry, SEMAPHORE_FLAGS, "semaphore")
            limit, holders = _decoded(entry)
            if limit != self.limit:
                raise Conflict(f"semaphore limit conflict (lock: {limit}, local: {self.limit})")
            return index, entry["ModifyIndex"], [holder for holder in holders if holder in alive]
        return index, 0, []

    def _store(self, holders: list[str], version: int) -> bool:
        value = json.dumps({"Limit": self.limit, "Holders": dict.fromkeys(holders, True)}, separators=(",", ":"))
        return self._write(self.key, value.encode(), cas=version, flags=SEMAPHORE_FLAGS)

    def _is_held(self, wait_index: int) -> tuple[int, bool]:
        index, _, holders = self._state(wait_index, consistent="")
        return index, self.session in holders

    def _release(self) -> None:
        while True:
            _, version, holders = self._state()
            if self.session not in holders:
                break
            if self._store([holder for holder in holders if holder != self.session], version):
                break
        self._delete(f"{self.prefix}/{self.session}")

    def destroy(self) -> None:
        """Delete the lock entry. Raises `InUse` while others hold it, `Conflict`."""
        _, version, holders = self._state()
        if version and (holders or not self._delete(self.key, cas=version)):
            raise InUse("Semaphore in use")


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - a command has the world's clock


def _left(deadline: float | None) -> float:
    return _WAIT_S if deadline is None else deadline - _now()


def _check_flags(entry: Json, flags: int, use: str) -> None:
    if entry["Flags"] != flags:
        raise Conflict(f"Existing key does not match {use} use")


def _decoded(entry: Json) -> tuple[int, list[str]]:
    try:
        state = parse(base64.b64decode(entry["Value"] or ""))
        return int(state["Limit"]), [str(holder) for holder, held in (state["Holders"] or {}).items() if held]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Conflict(f"{entry['Key']} holds no semaphore's state") from None
