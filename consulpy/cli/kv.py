"""`consulpy kv get|put|delete|export|import`."""

import base64
import json
import sys
from pathlib import Path
from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.kv_entries import imported_entries
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.client.api import key_path
from consulpy.gocompat.base64_decode import decode_base64
from consulpy.gocompat.flag import Flag, switch

group(
    "kv",
    "Interact with the key-value store",
    """
This command has subcommands for interacting with Consul's key-value
store. Here are some simple examples, and more detailed examples are
available in the subcommands or the documentation.

Create or update the key named "redis/config/connections" with the value "5":

    $ consulpy kv put redis/config/connections 5

Read this value back:

    $ consulpy kv get redis/config/connections

Or get detailed key information:

    $ consulpy kv get -detailed redis/config/connections

Finally, delete the key:

    $ consulpy kv delete redis/config/connections

For more examples, ask for subcommand help or view the documentation.
""",
)

Entry = dict[str, Any]


def _uint(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 64:
        raise ValueError("parse error")
    return int(text)


def _switch(name: str, about: str) -> Flag:
    return Flag(name, about, switch, default=False)


_CAS_FLAG: Final = _switch(
    "cas",
    "Perform a Check-And-Set operation. Specifying this value also requires the -modify-index flag to be set. The "
    "default value is false.",
)
_MODIFY_INDEX_FLAG: Final = Flag(
    "modify-index",
    "Unsigned integer representing the ModifyIndex of the key. This is used in combination with the -cas flag.",
    _uint,
    default=0,
    placeholder="uint",
)


def _entries(given: Invocation, key: str, **params: Any) -> list[Entry]:
    """The entries of a key or prefix; [] if there are none."""
    return list(given.client.find(key_path(key), {**given.query, **params}) or [])


def _unreadable(error: OSError) -> str:
    return f"Error! Failed to read file: open {error.filename}: {(error.strerror or str(error)).lower()}"


def _without_slash(key: str) -> str:
    """The key without a leading slash, as in Consul."""
    return key.removeprefix("/")


def _value(entry: Entry) -> bytes:
    return base64.b64decode(entry["Value"] or "")


def _bytes_out(data: bytes, end: bytes = b"\n") -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data + end)
    sys.stdout.buffer.flush()


@command(
    "kv get",
    "Retrieves or lists data from the KV store",
    usage="kv get [options] [KEY_OR_PREFIX]",
    about="""
Retrieves the value from Consul's key-value store at the given key name. If no
key exists with that name, an error is returned. If a key exists with that
name but has no data, nothing is returned. If the name or prefix is omitted,
it defaults to "" which is the root of the key-value store.
""",
    flags=[
        FORMAT,
        _switch("base64", "Base64 encode the value. The default value is false."),
        _switch(
            "detailed",
            "Provide additional metadata about the key in addition to the value such as the ModifyIndex and any flags "
            "that may have been set on the key. The default value is false.",
        ),
        _switch(
            "keys",
            "List keys which start with the given prefix, but not their values. This is especially useful if you only "
            "need the key names themselves. This option is commonly combined with the -separator option. The default "
            "value is false.",
        ),
        _switch("recurse", "Recursively look at all keys prefixed with the given path. The default value is false."),
        Flag(
            "separator",
            'String to use as a separator between keys. The default value is "/", but this option is only taken into '
            "account when paired with the -keys flag.",
            default="/",
            placeholder="string",
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def get(given: Invocation) -> int:
    """Print a value, the values of a prefix, or key names."""
    if len(given.arguments) > 1:
        raise UsageError(f"Too many arguments (expected 1, got {len(given.arguments)})")
    key = _without_slash(given.arguments[0] if given.arguments else "")
    values = given.values
    if not key and not (values["keys"] or values["recurse"]):
        given.err("Error! Missing KEY argument")
        return 1
    is_json = values["format"] == "json"
    try:
        if values["keys"]:
            names = _entries(given, key, keys="", separator=values["separator"])
            if is_json:
                given.out(as_json(names))
                return 0
            for name in names:
                given.out(str(name))
            return 0
        entries = _entries(given, key, **({"recurse": ""} if values["recurse"] else {}))
    except ClientError as error:
        say(error, "Error querying Consul agent")
        return 1
    if is_json and (entries or values["recurse"]):
        given.out(as_json(entries if values["recurse"] else entries[0]))
        return 0
    if values["recurse"]:
        for position, entry in enumerate(entries):
            if values["detailed"]:
                _detailed(given, entry)
                if position < len(entries) - 1:
                    given.out("")
            else:
                _bytes_out(f"{entry['Key']}:".encode() + _shown(given, entry))
        return 0
    if not entries:
        given.err(f"Error! No key exists at: {key}")
        return 1
    if values["detailed"]:
        _detailed(given, entries[0])
    else:
        _bytes_out(_shown(given, entries[0]))
    return 0


def _shown(given: Invocation, entry: Entry) -> bytes:
    return (entry["Value"] or "").encode() if given.values["base64"] else _value(entry)


def _detailed(given: Invocation, entry: Entry) -> None:
    rows = [[name, str(entry[name])] for name in ("CreateIndex", "Flags", "Key", "LockIndex", "ModifyIndex")]
    rows.append(["Session", entry.get("Session") or "-"])
    width = max(len(name) for name, _ in rows) + 6
    for name, value in rows:
        given.out(f"{name.ljust(width)}{value}")
    shown = _shown(given, entry)
    _bytes_out(b"Value".ljust(width) + shown if shown else b"Value")


@command(
    "kv put",
    "Sets or updates data in the KV store",
    usage="kv put [options] KEY [DATA]",
    about="""
Writes the data to the given path in the key-value store. The data can be of
any type.

    $ consulpy kv put config/redis/maxconns 5

The data can also be consumed from a file on disk by prefixing with the "@"
symbol, or it can be read from stdin using the "-" symbol. The DATA argument
itself is optional. If omitted, this will create an empty key-value pair at
the specified path.

To perform a Check-And-Set operation, specify the -cas flag with the
appropriate -modify-index flag corresponding to the key you want to perform
the CAS operation on:

    $ consulpy kv put -cas -modify-index=844 config/redis/maxconns 5
""",
    flags=[
        _switch(
            "acquire",
            "Obtain a lock on the key. If the key does not exist, this operation will create the key and obtain the "
            "lock. The session must already exist and be specified via the -session flag. The default value is false.",
        ),
        _switch("base64", "Treat the data as base 64 encoded. The default value is false."),
        _CAS_FLAG,
        Flag(
            "flags",
            "Unsigned integer value to assign to this key-value pair. This value is not read by Consul, so clients can "
            "use this value however makes sense for their use case. The default value is 0 (no flags).",
            _uint,
            default=0,
            placeholder="uint",
        ),
        _MODIFY_INDEX_FLAG,
        _switch(
            "release",
            "Forfeit the lock on the key at the given path. This requires the -session flag to be set. The key must be "
            "held by the session in order to be unlocked. The default value is false.",
        ),
        Flag(
            "session",
            "User-defined identifer for this session as a string. This is commonly used with the -acquire and -release "
            "operations to build robust locking, but it can be set on any key. The default value is empty (no "
            "session).",
            default="",
            placeholder="string",
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def put(given: Invocation) -> int:
    """Write a key."""
    values = given.values
    if given.arguments and given.arguments[0].startswith("/"):
        given.err(f"Error! Failed writing data: Invalid key. Key must not begin with a '/': {given.arguments[0]}")
        return 1
    try:
        key, data = _key_and_data(given)
        if values["base64"]:
            data = decode_base64(data)
    except OSError as error:
        given.err(_unreadable(error))
        return 1
    except ValueError as error:
        given.err(f"Error! Cannot base 64 decode data: {error}")
        return 1
    if values["session"] == "" and (values["acquire"] or values["release"]):
        raise UsageError("Error! Missing -session (required with -acquire and -release)")
    if values["cas"] and not values["modify-index"]:  # 0 would mean: only if there is no such key
        raise UsageError(_NO_INDEX)
    params: dict[str, Any] = {"dc": values["datacenter"], "flags": values["flags"] or None}
    if values["cas"]:
        params["cas"], failed = values["modify-index"], "CAS failed"
    elif values["acquire"]:
        params["acquire"], failed = values["session"], "could not acquire lock"
    elif values["release"]:
        params["release"], failed = values["session"], "could not release lock"
    else:
        failed = ""
    try:
        done = given.client.put(key_path(key), params, raw_body=data)
    except ClientError as error:
        say(error, f"Error! {_TEXTS[failed][0]}")
        return 1
    if done is not True and failed:
        why = f": {failed}" if failed == _CAS else ""
        given.err(f"Error! Did not {_TEXTS[failed][2]}{key}{why}")
        return 1
    given.out(f"Success! {_TEXTS[failed][1]}: {key}")
    return 0


_CAS: Final = "CAS failed"
_NO_INDEX: Final = "Must specify -modify-index with -cas!"
#: By condition of a write: texts of an error, of success, and of an unmet condition.
_TEXTS: Final = {
    "": ("Failed writing data", "Data written to", ""),
    _CAS: ("Did not write to", "Data written to", "write to "),
    "could not acquire lock": ("Failed writing data", "Lock acquired on", "acquire lock on "),
    "could not release lock": ("Failed writing data", "Lock released on", "release lock on "),
}


def _key_and_data(given: Invocation) -> tuple[str, bytes]:
    arguments = given.arguments
    if not arguments:
        raise UsageError("Error! Missing KEY argument")
    if len(arguments) > 2:
        raise UsageError(f"Error! Too many arguments (expected 1 or 2, got {len(arguments)})")
    key, data = _without_slash(arguments[0]), arguments[1] if len(arguments) > 1 else ""
    if data.startswith("@"):
        return key, Path(data[1:]).read_bytes()
    return key, sys.stdin.buffer.read() if data == "-" else data.encode("utf-8", "surrogateescape")


@command(
    "kv delete",
    "Removes data from the KV store",
    usage="kv delete [options] KEY_OR_PREFIX",
    about="""
Removes the value from Consul's key-value store at the given path. If no
key exists at the path, no action is taken.
""",
    flags=[
        _CAS_FLAG,
        _MODIFY_INDEX_FLAG,
        _switch("recurse", "Recursively delete all keys with the path. The default value is false."),
    ],
    uses_agent=True,
    uses_servers=True,
)
def delete(given: Invocation) -> int:
    """Delete a key, or all keys of a prefix."""
    values = given.values
    of_all = values["recurse"] and not given.arguments
    key = "" if of_all else _without_slash(given.one_argument("KEY", "Error! "))
    if values["cas"] and not values["modify-index"]:
        raise UsageError(_NO_INDEX)
    if values["cas"] and values["recurse"]:
        raise UsageError("Cannot specify both -cas and -recurse!")
    if values["modify-index"] and not values["cas"]:
        raise UsageError("Cannot specify -modify-index without -cas!")
    params = {
        "dc": values["datacenter"],
        "recurse": "" if values["recurse"] else None,
        "cas": values["modify-index"] if values["cas"] else None,
    }
    try:
        done = given.client.delete(key_path(key), params)
    except ClientError as error:
        say(error, f"Error! Did not delete {'prefix' if values['recurse'] else 'key'} {key}")
        return 1
    if done is not True and values["cas"]:
        given.err(f"Error! Did not delete key {key}: CAS failed")
        return 1
    given.out(f"Success! Deleted {'keys with prefix' if values['recurse'] else 'key'}: {key}")
    return 0


@command(
    "kv export",
    "Exports a tree from the KV store as JSON",
    usage="kv export [KEY_OR_PREFIX]",
    about="""
Retrieves key-value pairs for the given prefix from Consul's key-value store,
and writes a JSON representation to stdout. This can be used with the command
"consulpy kv import" to move entire trees between Consul clusters.
""",
    uses_agent=True,
    uses_servers=True,
)
def export(given: Invocation) -> int:
    """Print the keys of a prefix as JSON."""
    if len(given.arguments) > 1:
        raise UsageError(f"Too many arguments (expected 1, got {len(given.arguments)})")
    prefix = _without_slash(given.arguments[0] if given.arguments else "")
    try:
        entries = _entries(given, prefix, recurse="")
    except ClientError as error:
        say(error, "Error querying Consul agent")
        return 1
    shown = [{"key": entry["Key"], "flags": entry["Flags"], "value": entry["Value"] or ""} for entry in entries]
    given.out(json.dumps(shown, indent="\t", ensure_ascii=False))
    return 0


@command(
    "kv import",
    "Imports a tree stored as JSON to the KV store",
    usage="kv import [DATA]",
    about="""
Imports key-value pairs to the key-value store from the JSON representation
generated by the "consulpy kv export" command. The data can be read from a
file by prefixing the filename with the "@" symbol, or from stdin with "-".
""",
    flags=[
        Flag("prefix", "Key prefix for imported data. The default value is empty.", default="", placeholder="string")
    ],
    uses_agent=True,
    uses_servers=True,
)
def import_(given: Invocation) -> int:
    """Write the entries of a `kv export`."""
    data = given.one_argument("DATA", "Error! ")
    try:
        if data.startswith("@"):
            data = Path(data[1:]).read_text()
        elif data == "-":
            data = sys.stdin.read()
        entries = imported_entries(data)
    except OSError as error:
        given.err(_unreadable(error))
        return 1
    except ValueError as error:
        given.err(str(error))
        return 1
    with given.progress.waiting("Importing"):
        for number, (key, flags, value) in enumerate(entries):
            name = given.values["prefix"] + key
            given.progress.text = f"Importing: {number} of {len(entries)} keys written"
            params = {"dc": given.values["datacenter"], "flags": flags or None}
            try:
                given.client.put(key_path(name), params, raw_body=value)
            except ClientError as error:
                say(error, f"Error! Failed writing data for key {name}")
                return 1
            given.out(f"Imported: {name}")
    return 0
