"""A large membership: an agent receives its members in one push/pull, one socket answers all pings."""

import socket
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

from processes import NETWORKS, Running, server
from report import Row, Sample
from task import Settings, Task, task

from consulpy.errors import WireError
from consulpy.memberlist.messages import Ack, Ping, decode
from consulpy.memberlist.node_state import NodeState
from consulpy.memberlist.packet import Sealer
from consulpy.memberlist.stream import push_pull
from consulpy.serf.tags import encode_tags

_TAGS = {"role": "node", "dc": "dc1", "segment": "", "vsn": "2", "vsn_min": "2", "vsn_max": "3", "build": "1.8.7:"}


def tasks(settings: Settings) -> list[Task]:
    """One row: the memory of a server with `settings.members` members."""
    row = Row(f"memory of a server with {settings.members} members", "RSS MiB", "<= 1.0", 1)
    return [task(row, lambda subject: Sample(memory(*subject, settings.members)), rounds_max=1)]


def memory(program: str, place: Path, count: int) -> float:
    """Resident MiB when all members are alive and in the catalog. Raises `TimeoutError`."""
    directory = place / f"member-{program}"
    directory.mkdir()
    with closing(server(program, directory)) as agent, socket.socket(type=socket.SOCK_DGRAM) as pings:
        pings.bind((f"{NETWORKS[program]}.200", 8301))
        threading.Thread(target=_answer, args=(pings, (agent.address, 8301)), daemon=True).start()
        _push_members(agent, pings.getsockname()[0], count)
        agent.wait(lambda: list(agent.members().values()).count(1) == count + 1)
        time.sleep(2.0)
        agent.wait_idle(10.0)
        return agent.resident_mib()


def _push_members(agent: Running, address: str, count: int) -> None:
    nodes = [
        NodeState(
            f"member-{at}",
            address,
            8301,
            encode_tags({**_TAGS, "id": str(uuid.UUID(int=at))}),
            1,
            0,
            (1, 5, 2, 2, 5, 4),
        )
        for at in range(1, count + 1)
    ]
    with socket.create_connection((agent.address, 8301), timeout=10) as stream:
        stream.sendall(push_pull(False, b"".join(node.encode() for node in nodes), count, b""))
        stream.recv(65536)


def _answer(pings: socket.socket, agent: tuple[str, int]) -> None:
    """Answer pings until the socket closes; an ack is matched by its sequence number only."""
    sealer = Sealer(None, verify_incoming=False, verify_outgoing=False, label="")
    pings.settimeout(1.0)
    while pings.fileno() >= 0:
        try:
            for part in sealer.open(pings.recv(65536)):
                if part[:1] == b"\0" and isinstance(ping := decode(part), Ping):
                    pings.sendto(sealer.seal([Ack(ping.seq_no).encode()], crc=False), agent)
        except (OSError, WireError):
            continue
