"""`/v1/agent/host`: the machine's memory, processors, system and disk, with the names that Consul (gopsutil) gives.

Read from Linux's /proc; what another system lacks is absent. Sizes in bytes.
"""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, Final

_PROC: Final = Path("/proc")
#: Fields of /proc/meminfo that have the same value under their name in lower case, and those under another one.
_SAME: Final = (
    *("Active", "Inactive", "Buffers", "Writeback", "Dirty", "Slab", "SReclaimable", "SUnreclaim", "PageTables"),
    *("SwapCached", "SwapTotal", "SwapFree", "CommitLimit", "HighTotal", "HighFree", "LowTotal", "LowFree", "Mapped"),
    *("VmallocTotal", "VmallocUsed", "VmallocChunk", "HugePages_Total", "HugePages_Free", "Hugepagesize"),
)
_OTHER: Final = {
    "total": "MemTotal",
    "available": "MemAvailable",
    "free": "MemFree",
    "shared": "Shmem",
    "writebacktmp": "WritebackTmp",
    "committedas": "Committed_AS",
}
#: Of a processor: our name, that of /proc/cpuinfo.
_PROCESSOR: Final = {
    "vendorId": "vendor_id",
    "family": "cpu family",
    "model": "model",
    "physicalId": "physical id",
    "coreId": "core id",
    "modelName": "model name",
    "microcode": "microcode",
}


def host_report() -> dict[str, Any]:
    """The whole report; reads a few small files, none of a disk."""
    errors: list[str] = []
    found: dict[str, Any] = {}
    for name, read in (("Memory", _memory), ("CPU", _processors), ("Host", _system), ("Disk", _disk)):
        try:
            found[name] = read()
        except (OSError, ValueError) as error:
            found[name] = None
            errors.append(f"{name}: {error}")
    return found | {"CollectionTime": time.time_ns(), "Errors": errors or None}


def _memory() -> dict[str, Any]:
    fields: dict[str, int] = {}
    for line in (_PROC / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        fields[name] = int(number) * (1024 if unit == "kB" else 1)
    found: dict[str, Any] = {name.lower().replace("_", ""): fields.get(name, 0) for name in _SAME}
    found |= {name: fields.get(theirs, 0) for name, theirs in _OTHER.items()}
    found |= {"wired": 0, "laundry": 0, "cached": fields.get("Cached", 0) + fields.get("SReclaimable", 0)}
    found["used"] = found["total"] - found["free"] - found["buffers"] - found["cached"]
    found["usedPercent"] = _percent(found["used"], found["total"])
    return found


def _processors() -> list[dict[str, Any]]:
    found = []
    for number, block in enumerate((_PROC / "cpuinfo").read_text().strip().split("\n\n")):
        fields = {
            name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())
        }
        size, _, _unit = fields.get("cache size", "0").partition(" ")
        found.append(
            {"cpu": number}
            | {name: fields.get(theirs, "") for name, theirs in _PROCESSOR.items()}
            | {
                "stepping": int(fields.get("stepping", "0")),
                "cores": 1,
                "mhz": float(fields.get("cpu MHz", "0")),
                "cacheSize": int(size),
                "flags": fields.get("flags", fields.get("Features", "")).split(),
            }
        )
    return found


def _system() -> dict[str, Any]:
    system = os.uname()
    began_s = next(
        (int(line.split()[1]) for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime ")), 0
    )
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    name = release.get("ID", "")
    version = Path("/etc/debian_version")
    return {
        "hostname": system.nodename,
        "uptime": int(float((_PROC / "uptime").read_text().split()[0])),
        "bootTime": began_s,
        "procs": sum(entry.name.isdigit() for entry in _PROC.iterdir()),
        "os": sys.platform,
        "platform": name,
        "platformFamily": release.get("ID_LIKE", name).split(" ")[0],
        "platformVersion": version.read_text().strip() if version.is_file() else release.get("VERSION_ID", ""),
        "kernelVersion": system.release,
        "kernelArch": system.machine,
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": _host_id(),
    }


def _host_id() -> str:
    """The machine's UUID where it has one, else its id of systemd in that form, else that of its start."""
    for path in ("/sys/class/dmi/id/product_uuid", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            digits = Path(path).read_text().strip().lower().replace("-", "")
        except OSError:
            continue
        if len(digits) == 32:
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return ""


def _disk() -> dict[str, Any]:
    at = os.statvfs("/")
    total, free, left = at.f_blocks * at.f_frsize, at.f_bavail * at.f_frsize, at.f_bfree * at.f_frsize
    used, inodes_used = total - left, at.f_files - at.f_ffree
    return {
        "path": "/",
        "fstype": _root_type(),
        "total": total,
        "free": free,
        "used": used,
        "usedPercent": _percent(used, used + free),
        "inodesTotal": at.f_files,
        "inodesUsed": inodes_used,
        "inodesFree": at.f_ffree,
        "inodesUsedPercent": _percent(inodes_used, at.f_files),
    }


def _root_type() -> str:
    """The type of the root's file system; the last mount is the one that is seen."""
    mounts = (line.split() for line in (_PROC / "mounts").read_text().splitlines())
    found = [fields[2] for fields in mounts if len(fields) > 2 and fields[1] == "/"]
    return found[-1] if found else ""


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
