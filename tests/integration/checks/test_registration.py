"""What is refused, and what is not, when a check is registered."""

from random import Random

import pytest

from consulpy.checks.runner import Runner
from consulpy.errors import BadRequest
from consulpy.structs.definition import CheckType
from tests.harness.checks import reactor


@pytest.mark.parametrize(
    "kind",
    [CheckType(http="::bad"), CheckType(tcp="nonsense"), CheckType(grpc="x"), CheckType(http="ftp://x/")],
)
def test_invalid_addresses_are_accepted_at_registration_as_by_consul(kind: CheckType) -> None:
    """It is critical when it runs; refusing it would keep an agent from starting with files that Consul takes."""
    Runner(reactor, Random(1), aliases=None).check_type(kind)  # type: ignore[arg-type]


def test_an_invalid_docker_host_is_refused_at_registration() -> None:
    runner = Runner(reactor, Random(1), aliases=None, docker_host="nonsense")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="unable to parse docker host `nonsense`"):
        runner.check_type(CheckType(docker_container_id="c", script_args=["true"]))
