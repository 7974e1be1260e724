"""The watchdog of a real reactor."""

import subprocess
import sys

PROGRAM = """
import sys
from time import perf_counter, sleep
from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher
from consulpy.agent.process.watchdog import install
from consulpy.clock import Turn
from consulpy.metrics.registry import Registry

def busy():
    end_s = perf_counter() + 0.5
    while perf_counter() < end_s:
        pass

globalLogPublisher.addObserver(lambda event: print(formatEvent(event)))
install(reactor, Registry(lambda: 0.0), Turn())
reactor.callWhenRunning(lambda: reactor.callLater(0.3, busy))
reactor.callWhenRunning(lambda: reactor.callLater(1.2, reactor.stop))
reactor.run()


class Slow:
    def __del__(self, sleep=sleep):
        print("a slow end")
        sleep(0.4)
        print("the end")


sys.modules["slow"] = Slow()
"""


def test_a_real_reactor_is_watched_by_the_system_s_timer() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=90, check=True)
    (line,) = [line for line in done.stdout.splitlines() if "a turn of the reactor took" in line]
    assert "it was in __main__:" in line
    assert " busy" in line
    assert done.stdout.endswith("the end\n"), "no timer ends a process whose end takes long"
