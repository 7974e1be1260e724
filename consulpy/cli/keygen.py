"""`consulpy keygen`."""

import base64
import secrets
from typing import Final

from consulpy.cli.command import Invocation, command

KEY_SIZE_BYTES: Final = 32


@command(
    "keygen",
    "Generates a new encryption key",
    usage="keygen",
    about="""
Generates a new 32-byte encryption key that can be used to configure the
agent to encrypt traffic. The output of this command is already
in the proper format that the agent expects.
""",
)
def keygen(given: Invocation) -> int:
    """Print a random key in base64."""
    given.out(base64.b64encode(secrets.token_bytes(KEY_SIZE_BYTES)).decode())
    return 0
