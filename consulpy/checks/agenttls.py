"""TLS settings of checks that use the agent's certificates (`enable_agent_tls_for_checks`)."""

from collections.abc import Callable
from pathlib import Path

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AgentTls:
    """PEM data: trusted CA certificates (none: the system's), the agent's certificate and its private key."""

    authorities: tuple[bytes, ...] = ()
    certificate: bytes = b""
    key: bytes = b""
    #: Name to verify and to send (SNI), which is Consul's for checks of any host; "": the checked host.
    server_name: str = ""
    #: Oldest version of TLS (a name of `tls_min_version`).
    min_version: str = "tls12"

    @classmethod
    def read(
        cls,
        ca_file: str,
        ca_path: str,
        cert_file: str,
        key_file: str,
        server_name: str = "",
        min_version: str = "tls12",
    ) -> "AgentTls":
        """Read the files whose names are not empty. Raises `ConfigError` with the name of one that cannot be read."""
        paths = [Path(ca_file)] if ca_file else []
        try:
            if ca_path and not ca_file:
                paths = sorted(path for path in Path(ca_path).iterdir() if path.is_file())
            authorities = tuple(path.read_bytes() for path in paths)
            certificate = Path(cert_file).read_bytes() if cert_file else b""
            key = Path(key_file).read_bytes() if key_file else b""
        except OSError as error:
            raise ConfigError(f"enable_agent_tls_for_checks: {error.filename}: {error.strerror}") from None
        if bool(certificate) != bool(key):
            raise ConfigError("enable_agent_tls_for_checks: cert_file and key_file are needed together")
        return cls(authorities, certificate, key, server_name, min_version)


#: The settings of a check's next run; they change when the agent reloads.
OwnTls = Callable[[], AgentTls | None]


def no_tls() -> AgentTls | None:
    """No settings: `enable_agent_tls_for_checks` is off."""
    return None
