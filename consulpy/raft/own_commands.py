"""Commands that this server proposed, by their encoded form: what was just encoded needs no decoding to be applied."""

from typing import Final

from consulpy.state.commands import KVS, Command
from consulpy.structs.kv import SET

#: Commands that may wait to be applied. Above it all are forgotten, and decoded as those of other servers.
LIMIT: Final = 4096


class OwnCommands:
    """The commands that were proposed here and not applied yet.

    Only plain writes of keys: of these the decoded form is equal to what was encoded, whichever version made it, and
    applying does not keep it.
    """

    def __init__(self) -> None:
        #: By the identity of the encoded form, which is in here as well, so that no other has it meanwhile.
        self._commands: dict[int, tuple[bytes, Command]] = {}

    def add(self, command: Command, data: bytes) -> None:
        """`data`, the encoded form of `command`, is proposed."""
        if type(command) is not KVS or not _is_plain(command):
            return
        if len(self._commands) >= LIMIT:
            self._commands.clear()
        self._commands[id(data)] = (data, command)

    def take(self, data: bytes) -> Command | None:
        """The command of which `data` is the encoded form; None if it has to be decoded."""
        found = self._commands.pop(id(data), None)
        return None if found is None else found[1]


def _is_plain(command: KVS) -> bool:
    entry = command.body.dir_ent
    return (
        command.body.op == SET
        and type(entry.key) is str
        and type(entry.flags) is int
        and type(entry.session) is str
        and (entry.value is None or type(entry.value) is bytes)
    )
