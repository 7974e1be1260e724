"""The virtual machines' files: sound as far as can be told without starting any."""

import re
import subprocess
from pathlib import Path

VAGRANT = Path(__file__).parents[2] / "vagrant"


def test_the_provision_script_is_sound() -> None:
    checked = subprocess.run(["bash", "-n", str(VAGRANT / "provision.sh")], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_both_hosts_of_the_page_are_there() -> None:
    text = (VAGRANT / "Vagrantfile").read_text()
    assert dict(re.findall(r'"([\w-]+)" => "([\d.]+)"', text)) == {
        "agent-one": "172.20.20.10",
        "agent-two": "172.20.20.11",
    }


def test_the_file_names_a_script_that_exists() -> None:
    paths = re.findall(r'path: "([^"]+)"', (VAGRANT / "Vagrantfile").read_text())
    assert paths
    assert all((VAGRANT / path).is_file() for path in paths)


def test_a_missing_argument_is_named() -> None:
    done = subprocess.run(["bash", str(VAGRANT / "provision.sh")], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the name of this node is missing" in done.stderr
