"""Warnings about valid settings that are probably mistakes. Texts are those of Consul 1.8.7 where it has one."""

import json
import re
from collections.abc import Iterator
from typing import Final

from consulpy.config.schema import RuntimeConfig
from consulpy.config.tls import tls_settings

#: Longest label of a DNS name, in characters.
_LABEL_MAX: Final = 63
#: A label that DNS can ask for, as Consul sees it.
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def warnings(config: RuntimeConfig) -> Iterator[str]:
    """Warnings for the log: valid settings that are probably mistakes."""
    if config.bootstrap:
        yield "bootstrap = true: do not enable unless necessary"
    if config.ports.https > 0 and any(each.startswith(("unix://", "/")) for each in config.addresses.https.split()):
        yield "addresses.https: HTTPS on a unix socket is not supported yet: nothing listens there"
    for rule in config.telemetry.prefix_filter:
        if not rule.startswith(("+", "-")):
            yield f"Filter rule must begin with either '+' or '-': {json.dumps(rule)}"
    if len(config.node_name) > _LABEL_MAX:
        yield f'Node name "{config.node_name}" will not be discoverable via DNS due to it being too long.'
    elif not _LABEL.fullmatch(config.node_name):
        yield (
            f'Node name "{config.node_name}" will not be discoverable via DNS due to invalid characters. Valid '
            "characters include all alpha-numerics and dashes."
        )
    is_open = not config.acl.enabled or config.acl.default_policy == "allow"
    if config.enable_script_checks and is_open and not config.http_config.allow_write_http_from:
        yield (
            "using enable-script-checks without ACLs and without allow_write_http_from is DANGEROUS, use "
            "enable-local-script-checks instead, see https://www.hashicorp.com/blog/"
            "protecting-consul-from-rce-risk-in-specific-configurations/"
        )
    if config.bootstrap_expect == 2:
        yield "bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance."
    elif config.bootstrap_expect > 1 and config.bootstrap_expect % 2 == 0:
        yield (
            "bootstrap_expect is even number: A cluster with an even number of servers does not achieve optimum fault "
            "tolerance."
        )
    if config.bootstrap_expect > 1:
        yield f"bootstrap_expect > 0: expecting {config.bootstrap_expect} servers"
    if config.auto_encrypt.allow_tls and not (config.verify_incoming or config.verify_incoming_rpc):
        yield (
            "if auto_encrypt.allow_tls is turned on, either verify_incoming or verify_incoming_rpc should be enabled. "
            "It is necessary to turn it off during a migration to TLS, but it should definitely be turned on "
            "afterwards."
        )
    tls = tls_settings(config)
    if tls.https and not (tls.of_https.has_certificate or tls.auto_encrypt):
        yield "ports.https: HTTPS needs cert_file and key_file: connections are closed until a reload brings them"
    if bool(config.cert_file) != bool(config.key_file):
        yield "cert_file and key_file have no effect without each other: no port speaks TLS"
