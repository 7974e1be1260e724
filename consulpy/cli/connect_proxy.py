"""`consulpy connect proxy`: mutual TLS before a plain TCP program, until a signal ends it."""

import os
import signal
import sys
from random import SystemRandom
from typing import Any, Final

from consulpy.cli.command import Invocation, command
from consulpy.client import ClientError
from consulpy.errors import ConfigError, ConsulpyError
from consulpy.gocompat.flag import Flag, switch
from consulpy.proxy.settings import ProxySettings, split_address, upstream_of

_STRING: Final = {"default": "", "placeholder": "string"}
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR")


@command(
    "connect proxy",
    "Runs a Consul Connect proxy",
    usage="connect proxy [options]",
    about="""
Starts a Consul Connect proxy and runs until an interrupt is received.
The proxy can be used to accept inbound connections for a service,
wrap outbound connections to upstream services, or both. This enables
a non-Connect-aware application to use Connect.

The proxy requires service:write permissions for the service it represents.
The token may be passed via the CLI or the CONSUL_HTTP_TOKEN environment
variable.

The example below shows how to start a local proxy for establishing outbound
connections to "db" representing the frontend service. Once running, any
process that creates a TCP connection to the specified port (8181) will
establish a mutual TLS connection to "db" identified as "frontend".

    $ consulpy connect proxy -service frontend -upstream db:8181

The next example starts a local proxy that also accepts inbound connections
on port 8443, authorizes the connection, then proxies it to port 8080:

    $ consulpy connect proxy \\
        -service frontend \\
        -service-addr 127.0.0.1:8080 \\
        -listen ':8443'

A proxy can accept both inbound connections as well as proxy to upstream
services by specifying both the "-listen" and "-upstream" flags.
""",
    flags=[
        Flag(
            "listen",
            "Address to listen for inbound connections to the proxied service. Must be specified with -service and "
            "-service-addr.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag("log-json", "Output logs in JSON format.", switch, default=False),
        Flag("log-level", "Specifies the log level.", default="INFO", placeholder="string"),
        Flag("proxy-id", "The proxy's ID on the local agent.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "register",
            "Self-register with the local Consul agent. Only useful with -listen.",
            switch,
            default=False,
        ),
        Flag(
            "register-id",
            "ID suffix for the service. Use this to disambiguate with other proxies.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag("service", "Name of the service this proxy is representing.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "service-addr",
            "Address of the local service to proxy. Only useful if -listen and -service are both set.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag(
            "sidecar-for",
            "The ID of a service instance on the local agent that this proxy should become a sidecar for. It requires "
            "that the proxy service is registered with the agent as a connect-proxy with Proxy.DestinationServiceID "
            "set to this value. If more than one such proxy is registered it will fail.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag(
            "upstream",
            "Upstream service to support connecting to. The format should be 'name:addr', such as 'db:8181'. This "
            "will make 'db' available on port 8181. This can be repeated multiple times.",
            upstream_of,
            many=True,
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def proxy(given: Invocation) -> int:
    """Run the proxy until SIGINT or SIGTERM."""
    if given.arguments:
        given.err("==> Should have no non-flag arguments.")
        return 1
    if given.values["log-level"].upper() not in _LEVELS:
        given.err(f"==> Invalid log level: {given.values['log-level']}. Valid log levels are: [{' '.join(_LEVELS)}]")
        return 1
    given.out("==> Consul Connect proxy starting...")
    try:
        proxy_id = _proxy_id(given)
        settings = None if proxy_id else _from_flags(given)
    except ConsulpyError as error:
        given.err(f"==> Error preparing configuration: {error}")
        return 1
    if given.values["register"] and (settings is None or not settings.listen_port):
        given.err("==> Failed initializing registration: -register may only be specified with -service and -listen")
        return 1
    given.out("\n==> Log data will now stream in as it occurs:\n")
    given.progress.disable()
    status = _run(given, proxy_id, settings)
    given.out("==> Consul Connect proxy shutdown")
    return status


def _proxy_id(given: Invocation) -> str:
    """The id of the registered proxy that this is to be; "" for one of the flags alone. Raises `ConsulpyError`."""
    proxy_id = str(given.values["proxy-id"] or os.environ.get("CONNECT_PROXY_ID", ""))
    sidecar_for = str(given.values["sidecar-for"]) or os.environ.get("CONNECT_SIDECAR_FOR", "")
    if sidecar_for and not proxy_id:
        proxy_id = _sidecar_of(given, sidecar_for)
    if not proxy_id and not given.values["service"]:
        raise ConfigError("-service or -proxy-id must be specified so that proxy can configure itself.")
    if proxy_id:
        given.out("    Configuration mode: Agent API")
        given.out(f"              Proxy ID: {proxy_id}")
    return proxy_id


def _sidecar_of(given: Invocation, service_id: str) -> str:
    try:
        services = given.client.get("/v1/agent/services") or {}
    except ClientError as error:
        raise ConfigError(f"Failed looking up sidecar proxy info for {service_id}: {error}") from None
    found: list[str] = [
        each
        for each, service in sorted(services.items())
        if service.get("Kind") == "connect-proxy"
        and (service.get("Proxy") or {}).get("DestinationServiceID") == service_id
    ]
    if not found:
        raise ConfigError(f"No sidecar proxy registered for {service_id}")
    if len(found) > 1:
        raise ConfigError(
            f"More than one sidecar proxy registered for {service_id}.\n"
            f"    Start proxy with -proxy-id and one of the following IDs: {', '.join(found)}"
        )
    return found[0]


def _from_flags(given: Invocation) -> ProxySettings:
    values = given.values
    given.out("    Configuration mode: Flags")
    given.out(f"               Service: {values['service']}")
    host, port = "", 0
    if values["listen"]:
        try:
            host, port = split_address(values["listen"])
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not values["service-addr"]:
            raise ConfigError(
                "-service-addr must be specified with -listen so the proxy knows the backend service address."
            )
    for upstream in values["upstream"]:
        given.out(f"              Upstream: {upstream.name} => {upstream.bind_address}:{upstream.bind_port}")
    if port:
        given.out(f"       Public listener: {host}:{port} => {values['service-addr']}")
    else:
        given.out("       Public listener: Disabled")
    return ProxySettings(values["service"], host, port, values["service-addr"], tuple(values["upstream"]))


def _run(given: Invocation, proxy_id: str, settings: ProxySettings | None) -> int:
    """Run the reactor with the proxy in it; the exit status."""
    from twisted.internet import reactor as real_reactor  # noqa: TID251 - the command is the program
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner

    from consulpy.agent.process.event_loop import dispatch_directly
    from consulpy.agent.process.logs import LogSink
    from consulpy.agent.process.monotonic import use_monotonic_time
    from consulpy.proxy.runner import Runner

    reactor: Any = real_reactor
    use_monotonic_time(reactor)
    dispatch_directly(reactor)
    write = lambda line: print(f"    {line}", file=sys.stdout, flush=True)  # noqa: E731
    sink = LogSink(given.values["log-level"], given.values["log-json"], write)
    globalLogBeginner.beginLoggingTo([sink], discardBuffer=True, redirectStandardIO=False)
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        failures.append(error)
        given.err(f"==> Error: {error}")
        reactor.callLater(0, lambda: reactor.running and reactor.stop())

    suffix = given.values["register-id"] if given.values["register"] else None
    runner = Runner(reactor, given.client.settings, given.values["datacenter"] or "", SystemRandom(), failed)
    reactor.callWhenRunning(runner.follow if settings is None else runner.start, settings or proxy_id, suffix)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(runner.stop()))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    reactor.run()
    return 1 if failures else 0
