"""Services and checks on disk, in the format of Consul's own files. Pure: bytes to records and back.

`services/HASH`, `checks/HASH` and `checks/state/HASH` in the data directory, HASH being the MD5 of the id in hex (seen
in a real data directory). `Files` is the interface to the disk.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import orjson

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.strict_json import parse
from consulpy.errors import WireError
from consulpy.gocompat.json_decode import GoError, Shape, decode
from consulpy.gocompat.newer_fields import fields_of, is_empty_value, version_of
from consulpy.structs.check import HealthCheck
from consulpy.structs.definition import CheckType
from consulpy.structs.service import NodeService

SERVICES: Final = "services"
CHECKS: Final = "checks"
STATES: Final = "checks/state"


class Files(Protocol):
    """Small files by path (`folder/name`); a commit is atomic: after a crash all of it is there, or nothing."""

    def read(self, folder: str) -> dict[str, bytes]:
        """All files of a folder by path, without those of its subfolders."""

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:
        """Write these files (None: remove), all or none. When this returns they survive a crash of this process and,
        if `durable`, of the machine. Raises OSError.
        """

    @property
    def is_full(self) -> bool:
        """Whether a checkpoint is due."""

    def checkpoint(self) -> None:
        """Put all committed files into place, where other programs find them. Raises OSError."""


def path_of(folder: str, key: str) -> str:
    """The path of the entry with this id."""
    return f"{folder}/{hashlib.md5(key.encode('utf-8', 'surrogateescape'), usedforsecurity=False).hexdigest()}"


@dataclass(slots=True)
class PersistedService:
    """A stored service. `sidecar`: whether it was registered as the sidecar of another.

    `unsupported`: fields of newer versions that were set in the file, each with its version.
    """

    service: NodeService
    token: str = ""
    sidecar: bool = False
    unsupported: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """Encode in Consul's format."""
        shown: dict[str, Any] = {"Token": self.token, "Service": self.service.to_json(), "Source": "remote"}
        if self.sidecar:
            shown["LocallyRegisteredAsSidecar"] = True
        return dump(shown)

    @classmethod
    def unpack(cls, data: bytes) -> "PersistedService":
        """Decode. Raises `WireError` for invalid data."""
        raw = _load(data)
        service = _record(NodeService, raw.get("Service"), Shape(strict=False))
        if not service.id:
            raise WireError("a saved service without an id")
        sidecar = raw.get("LocallyRegisteredAsSidecar") is True
        service.locally_registered_as_sidecar = sidecar
        return cls(service, str(raw.get("Token") or ""), sidecar, tuple(_unsupported(raw["Service"])))


@dataclass(slots=True)
class PersistedCheck:
    """A stored check. `type` None: it is not run (maintenance mode). `source`: "remote" from the API, "local"."""

    check: HealthCheck
    type: CheckType | None = None
    token: str = ""
    source: str = "remote"

    def pack(self) -> bytes:
        """Encode in Consul's format."""
        kind = None if self.type is None else self.type.to_json()
        if kind is not None and kind["H2PingUseTLS"]:
            del kind["H2PingUseTLS"]  # the default, and no field of Consul 1.8.7
        return dump({"Check": self.check.to_json(), "ChkType": kind, "Token": self.token, "Source": self.source})

    @classmethod
    def unpack(cls, data: bytes) -> "PersistedCheck":
        """Decode. Raises `WireError` for invalid data."""
        raw = _load(data)
        check = _record(HealthCheck, {**(raw.get("Check") or {}), "Definition": None}, Shape(strict=False))
        if not check.check_id:
            raise WireError("a saved check without an id")
        kind = raw.get("ChkType")
        return cls(
            check,
            None if kind is None else _record(CheckType, kind, Shape(strict=False)),
            str(raw.get("Token") or ""),
            str(raw.get("Source") or "local"),
        )


@dataclass(slots=True)
class PersistedCheckState:
    """The stored state of a TTL check. `expires_s`: end of its validity, in seconds since 1970."""

    check_id: str
    output: str
    status: str
    expires_s: int

    def pack(self) -> bytes:
        """Encode in Consul's format."""
        shown = {"CheckID": self.check_id, "Output": self.output, "Status": self.status, "Expires": self.expires_s}
        return dump(shown)

    @classmethod
    def unpack(cls, data: bytes) -> "PersistedCheckState":
        """Decode. Raises `WireError` for invalid data."""
        raw = _load(data)
        try:
            state = cls(str(raw["CheckID"]), str(raw["Output"]), str(raw["Status"]), int(raw["Expires"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(f"a saved state without {error}") from None
        return state


def _unsupported(service: dict[str, Any]) -> Iterator[str]:
    """Fields that a newer version has set in a service: "SocketPath (1.10)"."""
    proxy = service.get("Proxy") or {}
    blocks = [("NodeService", "", service), ("ConnectProxy", "Proxy.", proxy)]
    blocks += [("Upstream", "Proxy.Upstreams.", each) for each in proxy.get("Upstreams") or ()]
    for struct, prefix, block in blocks:
        newer = fields_of(struct)
        for name, value in block.items():
            version = version_of(name, newer)
            if version is not None and not is_empty_value(name, value):
                yield f"{prefix}{name} ({version})"


def dump(value: Any) -> bytes:
    """JSON bytes; strings that are not valid UTF-8 (from the wire) are escaped."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode("ascii")


def _load(data: bytes) -> dict[str, Any]:
    try:
        raw = parse(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise WireError("no JSON object")
    return raw


def _record(cls: Any, raw: Any, shape: Shape) -> Any:
    try:
        return decode(cls, raw, shape)
    except GoError as error:
        raise WireError(str(error)) from None
