"""`consulpy tls`: a certificate authority for the cluster, and certificates from it."""

import itertools
import os
from pathlib import Path

from consulpy.cli.command import Invocation, UsageError, command, group
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch, whole

_WARNING = """\
==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys."""

group(
    "tls",
    "Builtin helpers for creating CAs and certificates",
    """
Creates the certificate authority of a cluster, and certificates for its
servers, clients and command lines.

Create a CA

  $ consulpy tls ca create

Create a server certificate

  $ consulpy tls cert create -server

Create a client certificate

  $ consulpy tls cert create -client
""",
)
group("tls ca", "Helpers for CAs", "Creates the certificate authority of a cluster.")
group("tls cert", "Helpers for certificates", "Creates certificates for servers, clients and command lines.")


@command(
    "tls ca create",
    "Create a new consul CA",
    usage="tls ca create [options]",
    about="""
Create a new consul CA:

$ consulpy tls ca create
==> Saved consul-agent-ca.pem
==> Saved consul-agent-ca-key.pem
""",
    flags=(
        Flag(
            "days",
            "Provide number of days the CA is valid for from now on. Defaults to 5 years.",
            whole,
            default=1825,
            placeholder="int",
        ),
        Flag(
            "cluster-id",
            "ID of the Consul cluster: the CA gets the URI spiffe://ID.DOMAIN, as the one of Connect has it (since "
            "Consul 1.11).",
            default="",
        ),
        Flag("common-name", "Common Name of the CA. Defaults to Consul Agent CA and its serial number.", default=""),
        Flag(
            "domain",
            "Domain of consul cluster. Only used in combination with -name-constraint. Defaults to consul.",
            default="consul",
        ),
        Flag(
            "name-constraint",
            "Add name constraints for the CA. Results in rejecting certificates for other DNS than specified. If "
            "turned on localhost and -domain will be added to the allowed DNS.",
            switch,
            default=False,
        ),
        Flag(
            "additional-name-constraint",
            "Add name constraints for the CA: another DNS that is allowed. Can be used multiple times. Only used in "
            "combination with -name-constraint.",
            many=True,
        ),
    ),
)
def ca_create(given: Invocation) -> int:
    """Create an authority in two files of the working directory."""
    from consulpy.tls.authority import create_authority

    values = given.values
    domain = values["domain"]
    certificate, key = Path(f"{domain}-agent-ca.pem"), Path(f"{domain}-agent-ca-key.pem")
    for path in (certificate, key):
        if path.exists():
            raise ConfigError(f"{path} already exists.")
    more = values["additional-name-constraint"] or []
    if more and not values["name-constraint"]:
        raise ConfigError("-additional-name-constraint works only with -name-constraint")
    permitted = [*more, domain, "localhost"] if values["name-constraint"] else []
    uri = f"spiffe://{values['cluster-id']}.{domain}".lower() if values["cluster-id"] else ""
    made = create_authority(values["days"], permitted, uri=uri, common_name=values["common-name"])
    _save(given, certificate, made.certificate, 0o644)
    _save(given, key, made.key, 0o600)
    return 0


@command(
    "tls cert create",
    "Create a new certificate",
    usage="tls cert create [options]",
    about="""
Create a new certificate

$ consulpy tls cert create -server
==> Using consul-agent-ca.pem and consul-agent-ca-key.pem
==> Saved dc1-server-consul-0.pem
==> Saved dc1-server-consul-0-key.pem
""",
    flags=(
        Flag("server", "Generate server certificate.", switch, default=False),
        Flag("client", "Generate client certificate.", switch, default=False),
        Flag("cli", "Generate cli certificate.", switch, default=False),
        Flag("ca", "Provide path to the ca. Defaults to #DOMAIN#-agent-ca.pem.", default="#DOMAIN#-agent-ca.pem"),
        Flag(
            "key",
            "Provide path to the key. Defaults to #DOMAIN#-agent-ca-key.pem.",
            default="#DOMAIN#-agent-ca-key.pem",
        ),
        Flag(
            "days",
            "Provide number of days the certificate is valid for from now on. Defaults to 1 year.",
            whole,
            default=365,
            placeholder="int",
        ),
        Flag("dc", "Provide the datacenter. Defaults to dc1.", default="dc1"),
        Flag("domain", "Provide the domain. Defaults to consul.", default="consul"),
        Flag(
            "node",
            "When generating a server cert and this is set an additional dns name is included of the form "
            "<node>.server.<datacenter>.<domain>.",
        ),
        Flag(
            "additional-dnsname",
            "Provide an additional dnsname for Subject Alternative Names. localhost is always included. This flag may "
            "be provided multiple times.",
            many=True,
        ),
        Flag(
            "additional-ipaddress",
            "Provide an additional ipaddress for Subject Alternative Names. 127.0.0.1 is always included. This flag "
            "may be provided multiple times.",
            many=True,
        ),
    ),
)
def cert_create(given: Invocation) -> int:
    """Create a certificate in two files of the working directory, signed by the authority there."""
    from consulpy.tls.authority import Pair, create_certificate

    values = given.values
    kinds = [kind for kind in ("server", "client", "cli") if values[kind]]
    if len(kinds) != 1:
        raise ConfigError("Please provide either -server, -client, or -cli")
    (kind,) = kinds
    domain, datacenter = values["domain"], values["dc"]
    node = values["node"]
    if node and kind != "server":
        raise UsageError("-node requires -server")
    ca, ca_key = (values[name].replace("#DOMAIN#", domain) for name in ("ca", "key"))
    authority = Pair(_read(ca, "CA"), _read(ca_key, "CA key"))
    name = f"{kind}.{datacenter}.{domain}"
    names = [*(values["additional-dnsname"] or []), *([f"{node}.{name}"] if node else []), name, "localhost"]
    addresses = [*(values["additional-ipaddress"] or []), *(["127.0.0.1"] if kind != "cli" else [])]
    made = create_certificate(authority, kind, name, names=names, addresses=addresses, days=values["days"])
    if kind == "server":
        given.out(_WARNING)
    given.out(f"==> Using {ca} and {ca_key}")
    certificate, key = _next_free(f"{datacenter}-{kind}-{domain}")
    _save(given, certificate, made.certificate, 0o644)
    _save(given, key, made.key, 0o600)
    return 0


def _next_free(prefix: str) -> tuple[Path, Path]:
    for number in itertools.count():
        certificate, key = Path(f"{prefix}-{number}.pem"), Path(f"{prefix}-{number}-key.pem")
        if not certificate.exists() and not key.exists():
            return certificate, key
    raise AssertionError


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"Error reading {what}: open {path}: {(error.strerror or str(error)).lower()}") from None


def _save(given: Invocation, path: Path, data: bytes, mode: int) -> None:
    """Write a new file with `mode`; private keys are not readable by others, unlike Consul's."""
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    given.out(f"==> Saved {path}")
