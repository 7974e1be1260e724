"""Which files checks over TLS take their certificates from (`enable_agent_tls_for_checks`)."""

from dataclasses import dataclass
from pathlib import Path

from consulpy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AgentTls:
    """PEM texts: the CA certificates that are trusted (none: the system's), our own certificate and its key."""

    authorities: tuple[bytes, ...] = ()
    certificate: bytes = b""
    key: bytes = b""
    #: The name that a verified certificate must have, and that is asked for; "": the checked host's.
    server_name: str = ""

    @classmethod
    def read(cls, ca_file: str, ca_path: str, cert_file: str, key_file: str, server_name: str = "") -> "AgentTls":
        """Read the files, those that are named. Raises `ConfigError` naming the one that can't be."""
        places = [Path(ca_file)] if ca_file else []
        try:
            if ca_path and not ca_file:
                places = sorted(path for path in Path(ca_path).iterdir() if path.is_file())
            authorities = tuple(place.read_bytes() for place in places)
            certificate = Path(cert_file).read_bytes() if cert_file else b""
            key = Path(key_file).read_bytes() if key_file else b""
        except OSError as error:
            raise ConfigError(f"enable_agent_tls_for_checks: {error.filename}: {error.strerror}") from None
        if bool(certificate) != bool(key):
            raise ConfigError("enable_agent_tls_for_checks: cert_file and key_file are needed together")
        return cls(authorities, certificate, key, server_name)
