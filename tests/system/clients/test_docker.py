"""Docker checks against Docker itself, which has a network and mounts of its own and goes with the tests."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor

from consulpy.checks.dial import Dialer
from consulpy.checks.docker import DockerProbe
from consulpy.checks.result import CheckFailed, Result
from consulpy.structs.definition import CheckType
from tests.peers.process import spawn
from tests.system.clients.conftest import TOOLS, tool

pytestmark = [pytest.mark.peers, pytest.mark.netns]

reactor: Any = _reactor
START_S = 30
FLAGS = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs")
MOUNTS = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
[ -d /sys/fs/cgroup ] || mount -t sysfs none /sys
if ! grep -q ' /sys/fs/cgroup' /proc/self/mounts; then # a host that was not set up for containers
  mount -t tmpfs none /sys/fs/cgroup
  tail -n +2 /proc/cgroups | while read -r controller _; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" none "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
  done
fi
"""


class Docker:
    """A daemon under `root`."""

    def __init__(self, root: Path) -> None:
        self.host = f"unix://{root}/docker.sock"
        self._log = root / "log"
        self._environment = os.environ | {"PATH": f"{TOOLS / 'bin'}:{os.environ['PATH']}", "DOCKER_HOST": self.host}
        places = [
            f"--data-root={root}/data",
            f"--exec-root={root}/exec",
            f"--pidfile={root}/pid",
            f"--host={self.host}",
        ]
        daemon = [tool("dockerd"), *places, *FLAGS]
        script = f"{MOUNTS}\nexec {' '.join(daemon)}"
        with self._log.open("w") as log:
            self._daemon = spawn(
                ["unshare", "--net", "--mount", "sh", "-c", script], env=self._environment, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._daemon.poll() is None:
            if self("version", check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise AssertionError(f"dockerd does not run here: {self._log.read_text()[-2000:]}")

    def __call__(self, *arguments: str, check: bool = True, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run its command line."""
        return subprocess.run(
            [tool("docker"), *arguments],
            env=self._environment,
            input=given,
            capture_output=True,
            check=check,
            timeout=60,
        )

    def stop(self) -> None:
        """End it and its containers."""
        self._daemon.terminate()
        self._daemon.wait(60)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Docker with the containers `runs`, `paused` and `stopped`, all of busybox alone."""
    busybox = TOOLS / "root" / "bin" / "busybox"
    tool("dockerd")
    root = tmp_path_factory.mktemp("docker")
    image = root / "image" / "bin"
    image.mkdir(parents=True)
    shutil.copy(busybox, image)
    for name in ("sh", "echo", "yes", "head", "sleep", "printf"):
        (image / name).symlink_to("busybox")
    packed = subprocess.run(["tar", "-c", "-C", image.parent, "."], capture_output=True, check=True, timeout=60)
    docker = Docker(root)
    try:
        docker.wait()
        docker("import", "-", "box", given=packed.stdout)
        for name, command in (("runs", "sleep 1000"), ("paused", "sleep 1000"), ("stopped", "echo")):
            docker("run", "--detach", "--init=false", "--network=none", f"--name={name}", "box", *command.split())
        docker("pause", "paused")
        docker("wait", "stopped")
        yield docker
    finally:
        for name in ("runs", "paused", "stopped"):
            docker("rm", "--force", name, check=False)
        docker.stop()


async def outcome(docker: Docker, container: str, *command: str, **fields: Any) -> Result:
    kind = CheckType(docker_container_id=container, script_args=list(command), **fields)
    try:
        return await DockerProbe(reactor, Dialer(reactor), docker.host, kind, 30).run()
    except CheckFailed as error:
        return error.result()


@pytest.mark.parametrize(
    ("script", "status", "output"),
    [
        ("echo hi", "passing", "hi\n"),
        ("echo w; exit 1", "warning", "w\n"),
        ("echo c; exit 2", "critical", "c\n"),
        ("echo e >&2", "passing", "e\n"),
        ("kill -9 $$", "critical", ""),
        ("printf '\\351'", "passing", "\ufffd"),
        ("yes | head -c 3000000", "passing", "Captured 4096 of 3000000 bytes\n...\n" + "y\n" * 2048),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_program_inside_the_container(docker: Docker, script: str, status: str, output: str) -> None:
    assert await outcome(docker, "runs", "/bin/sh", "-c", script) == Result(status, output)


@pytest_twisted.ensureDeferred
async def test_a_program_that_is_not_there(docker: Docker) -> None:
    result = await outcome(docker, "runs", "/nonexist")
    assert (result.status, "no such file or directory" in result.output) == ("critical", True)


@pytest.mark.parametrize(
    ("container", "output"),
    [
        ("paused", "create exec failed since container paused is paused or stopped"),
        ("stopped", "create exec failed since container stopped is paused or stopped"),
        ("gone", "create exec failed for unknown container gone"),
        ("a/b c?", "create exec failed for unknown container a/b c?"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_container_in_which_nothing_can_run(docker: Docker, container: str, output: str) -> None:
    assert await outcome(docker, container, "true") == Result("critical", output)
