"""The agent as a program: options in, a running agent out, under twistd or in the foreground.

`twistd consulpy FLAGS` and `consulpy agent FLAGS` are the same program: both come to `AgentService`.
"""

import gc
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from twisted.application import service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, globalLogBeginner
from twisted.python import usage
from twisted.python.components import Componentized

from consulpy.agent.agent import Agent
from consulpy.agent.process import systemd, watchdog
from consulpy.agent.process.agent_files import AgentFiles
from consulpy.agent.process.descriptors import raise_limit
from consulpy.agent.process.event_loop import dispatch_directly
from consulpy.agent.process.logs import LogSink
from consulpy.agent.process.twistd_log import TwistdLog
from consulpy.agent.report import banner
from consulpy.codec.secrets import text_without_secrets
from consulpy.config.flags import agent_flags
from consulpy.config.load import load
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import HelpRequested, flags_help
from consulpy.log import Logger

#: Longest graceful leave, in seconds; then the program ends.
LEAVE_TIMEOUT_S: Final = 15.0
#: Thresholds of the garbage collector. A turn of the reactor allocates thousands of short-lived objects: with Python's
#: default of 700 the whole state would be traversed repeatedly. The default second threshold of 10 would collect
#: 200,000 young objects at once, a pause of 80 ms.
_GC_THRESHOLDS: Final = (20_000, 2, 40)
#: Longest time that a busy reactor keeps the interpreter from a disk thread, in seconds: with Python's default of 5 ms
#: every commit takes that much longer (7 to 9 % fewer writes a second).
_SWITCH_INTERVAL_S: Final = 0.0001
_RUNNING: Final = "==> consulpy agent running!"
_USAGE: Final = """Usage: twistd [twistd options] consulpy [options]

  Runs an agent; `twistd -n` keeps it in the foreground. The options are those
  of `consulpy agent`."""


class Options(usage.Options):
    """The flags of `twistd consulpy`: exactly those of `consulpy agent`, in Consul's or in GNU's spelling."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the flags; an error is one line and exit status 1."""
        argv = list(options or ())
        self["config"] = _config(argv)
        self["read_config"] = lambda: load(argv)


class AgentService(service.Service):
    """An agent as a Twisted service: the program `consulpy agent`, with its pid and log files.

    `signals`: whether SIGINT, SIGTERM and SIGHUP are the agent's; for a service inside another program they are not.
    (`consulpy.agent.Agent.service` is one that leaves nothing behind.)
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any = None,
        read_config: Callable[[], RuntimeConfig] | None = None,
        *,
        signals: bool = False,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor  # noqa: TID251 - an entry module
        self.exit_status = 0
        self._config = config
        self._reactor = reactor
        self._log = Logger()
        self._is_ending = False
        self._signals = signals
        self.agent = Agent(config, reactor, shut_down=self.shut_down, read_config=read_config)

    def startService(self) -> None:
        """Start the agent. Raises `ConfigError`."""
        super().startService()  # type: ignore[no-untyped-call]
        self._files = AgentFiles(self._config, self._reactor.seconds)
        try:
            self.agent.start()
        except ConfigError:
            self._files.close()
            raise
        if self._signals:
            self._reactor.callWhenRunning(self._listen_to_signals)

    def stopService(self) -> "Deferred[None]":
        """Stop the agent without leaving the pools."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._files.close()
        return self.agent.stop()

    def shut_down(self, exit_status: int = 0) -> None:
        """Stop the reactor."""
        self.exit_status = exit_status
        if self._reactor.running:
            with suppress(ReactorNotRunning):  # a second signal while it stops
                self._reactor.stop()

    def _listen_to_signals(self) -> None:
        config = self._config
        leave_on_interrupt = not config.skips_leave_on_interrupt
        for number, leave in ((signal.SIGINT, leave_on_interrupt), (signal.SIGTERM, config.leaves_on_terminate)):
            signal.signal(number, self._from_signal(self._end, signal.Signals(number).name, leave))
        signal.signal(signal.SIGHUP, self._from_signal(self._reload))

    def _from_signal(self, call: Callable[..., None], *arguments: Any) -> Callable[[int, Any], None]:
        return lambda _number, _frame: self._reactor.callFromThread(call, *arguments)

    def _end(self, name: str, leave: bool) -> None:
        if self._is_ending or not leave:
            self._log.info("{name}: shutting down", name=name)
            self.shut_down(1)
            return
        self._is_ending = True
        self._log.info("{name}: leaving gracefully", name=name)
        left = self.agent.leave()
        left.addErrback(lambda failure: self._log.error("leave: {why}", why=failure.getErrorMessage()))
        self._reactor.callLater(LEAVE_TIMEOUT_S, self.shut_down, 1)

    def _reload(self) -> None:
        reloaded = self.agent.reload()
        reloaded.addErrback(lambda failure: self._log.error("reload: {why}", why=failure.getErrorMessage()))


def makeService(options: Options) -> service.IService:
    """The service that twistd runs."""
    config: RuntimeConfig = options["config"]
    return _TwistdService(config, options["read_config"], getattr(options, "parent", None) or {})


class _TwistdService(AgentService):
    """The agent under twistd: it logs as `consulpy agent` does, and an error at the start is one line.

    `twistd`: its options.
    """

    def __init__(
        self, config: RuntimeConfig, read_config: Callable[[], RuntimeConfig], twistd: Mapping[str, Any]
    ) -> None:
        super().__init__(config, read_config=read_config, signals=True)
        self._twistd = twistd
        self._show: Callable[[str], None] = lambda _line: None

    def setServiceParent(self, parent: Any) -> None:
        """Become a part of twistd's application, which then logs through our observer."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        try:
            log = TwistdLog(self._config, self._twistd, self._reactor)
        except ConfigError as error:
            _exit_with(error)
        if isinstance(parent, Componentized) and log.observer is not None:
            parent.setComponent(ILogObserver, log.observer)
            self._show = log.show
            self._show(banner(self._config))

    def startService(self) -> None:
        """Start the agent in a process of its own."""
        raise_limit()
        try:
            super().startService()
        except ConfigError as error:
            _exit_with(error)
        _tune_interpreter()
        dispatch_directly(self._reactor)
        watchdog.install(self._reactor, self.agent.metrics, self.agent.turn)
        systemd.install(self._reactor, self.agent)
        self._show(_RUNNING)


def run(config: RuntimeConfig, read_config: Callable[[], RuntimeConfig]) -> int:
    """Run an agent in the foreground until it ends; the exit status. `read_config()`: for a reload."""
    from twisted.internet import reactor  # noqa: TID251 - an entry module

    gc.disable()  # until the state is loaded: `_tune_interpreter`
    started = AgentService(config, reactor, read_config, signals=True)
    print(banner(config), flush=True)
    sink = LogSink(config.log_level, config.log_json, lambda line: print(f"    {line}", flush=True), follow=True)
    globalLogBeginner.beginLoggingTo([sink], redirectStandardIO=False, discardBuffer=False)
    raise_limit()
    try:
        started.startService()
    except ConfigError as error:
        _exit_with(error)
    _tune_interpreter()
    dispatch_directly(reactor)
    watchdog.install(reactor, started.agent.metrics, started.agent.turn)
    systemd.install(reactor, started.agent)
    print(_RUNNING, flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", started.stopService)
    reactor.run()
    return started.exit_status


def _tune_interpreter() -> None:
    """Settings of the interpreter for a process of one agent; a program that embeds `AgentService` keeps its own.

    Called after the state is loaded, so that garbage collections do not traverse it.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def _config(argv: list[str]) -> RuntimeConfig:
    try:
        return load(argv)
    except HelpRequested:
        flags = sorted(agent_flags().flags.values(), key=lambda flag: flag.name)
        with suppress(BrokenPipeError):
            print(f"{_USAGE}\n\nOptions (one dash or two)\n\n{flags_help(flags)}", flush=True)
        raise SystemExit(0) from None
    except ConfigError as error:
        _exit_with(error)


def _exit_with(error: ConfigError) -> NoReturn:
    print(text_without_secrets(f"consulpy: {error}"), file=sys.stderr)
    raise SystemExit(1)
