"""The keys of the web page: Consul 1.8.7's, and `ui_config` of newer versions."""

import pytest

from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


def load(*flags: str, dev: bool = False) -> RuntimeConfig:
    return read(read_flags([*(("-dev",) if dev else ("-data-dir", "/x")), *flags]), FakeHost())


def ui_of(config: RuntimeConfig) -> tuple[bool, str, str]:
    return config.ui, config.ui_dir, config.ui_content_path


def test_off_by_default_and_on_under_dev() -> None:
    assert ui_of(load()) == (False, "", "/ui/")
    assert ui_of(load(dev=True)) == (True, "", "/ui/")
    assert ui_of(load("-ui=false", dev=True))[0] is False
    assert ui_of(load("-ui-dir", "/page", dev=True)) == (True, "/page", "/ui/"), "the folder goes before"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["-ui"], (True, "", "/ui/")),
        (["--ui"], (True, "", "/ui/")),
        (["-ui-dir", "/page"], (False, "/page", "/ui/")),
        (["-ui", "-ui-content-path", "tools/consul"], (True, "", "/tools/consul/")),
        (["-ui", "-ui-content-path", "/tools_1/consul-2/"], (True, "", "/tools_1/consul-2/")),
        (["-ui", "-ui-content-path="], (True, "", "/ui/")),
        (["-hcl", 'ui = true ui_content_path = "/a/"'], (True, "", "/a/")),
        (["-hcl", 'ui_config { enabled = true content_path = "a" }'], (True, "", "/a/")),
        (["-hcl", 'ui_config { dir = "/page" }'], (False, "/page", "/ui/")),
        (["-hcl", 'ui_dir = "/page"', "-ui-dir", "/other"], (False, "/page", "/ui/")),
    ],
)
def test_flags_and_keys(flags: list[str], expected: tuple[bool, str, str]) -> None:
    config = load(*flags)
    assert ui_of(config) == expected
    assert not [line for line in config.warnings if "ui" in line.split()[0]]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["-ui-content-path", "a.b"], "ui-content-path can only contain alphanumeric, -, _, or /. received: /a.b/"),
        (["-ui-content-path", "a b"], "ui-content-path can only contain alphanumeric, -, _, or /. received: /a b/"),
        (["-ui-content-path", "v1"], "ui-content-path cannot have 'v[0-9]'. received: /v1/"),
        (["-ui-content-path", "/v12/"], "ui-content-path cannot have 'v[0-9]'. received: /v12/"),
        (["-ui-content-path", "/v1/ui"], "ui-content-path cannot have 'v[0-9]'. received: /v1/ui/"),
        (["-ui-content-path", "/"], "ui-content-path cannot be /"),
        (["-ui", "-ui-dir", "/page"], "Both the ui and ui-dir flags were specified, please provide only one."),
        (["-ui=perhaps"], "perhaps"),
        (["-hcl", "ui = 3"], "ui"),
        (["-hcl", "ui_config { enabled = 3 }"], "ui"),
        (["-hcl", "ui_config { enabld = true }"], "enabld"),
    ],
)
def test_mistakes(flags: list[str], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(*flags)
    assert reason in str(caught.value)
