"""Runs many seeds: `python -m tests.unit.raft.simulate 5000`; or tells the story of one: `... --seed 17`."""

import argparse
import sys
import time
import traceback

from tests.unit.raft.cluster import Violation, simulate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this one, and print what its servers log")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        lines: list[str] = []
        try:
            simulate(arguments.seed, lines=lines)
        except Violation:
            lines.append(traceback.format_exc())
        print("\n".join(lines))
        return 0
    began_s = time.monotonic()
    failed = elections = writes = 0
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            world = simulate(seed)
        except Violation as error:
            failed += 1
            print(error, flush=True)
        else:
            elections += world.checker.elections
            writes += len(world.handle_ack)
    took_s = time.monotonic() - began_s
    print(
        f"{arguments.count} seeds in {took_s:.0f} s, {failed} failed; "
        f"{elections} elections, {writes} writes acknowledged and none lost"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
