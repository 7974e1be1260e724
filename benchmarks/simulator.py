"""How fast the simulator is: settled members times virtual seconds for each second of real time.

python benchmarks/simulator.py [members] [virtual seconds]
"""

import resource
import sys
import time

from consulpy.testing.cluster import Cluster


def main() -> None:
    """Print what a settled pool costs."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    virtual_s = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    began_s = time.perf_counter()
    cluster = Cluster(size, settled=True)
    built_s = time.perf_counter() - began_s
    cluster.run(2.0)  # the first timers are on their way
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    cluster.run(virtual_s)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size} members, built in {built_s:.1f} s, at most {peak_mib:.0f} MiB")
    print(f"{virtual_s:g} virtual seconds in {took_s:.1f} s: {virtual_s / took_s:.1f} times as fast as real time")
    print(
        f"{cpu_s:.1f} s of processor time: {virtual_s / cpu_s:.1f} times as fast on a machine with nothing else to do"
    )
    print(f"{size * virtual_s / took_s:.0f} members x virtual seconds per second, {cluster.clock.calls} calls")


if __name__ == "__main__":
    main()
