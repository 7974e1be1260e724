#!/usr/bin/env bash
# The two commands of README.md that do all of the set-up, as they stand, in a copy of what is committed or staged.
# The agent has to answer and to end on Ctrl-C; of the tests only a small folder is run, since `.ci/run tests` runs all.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill -9 -- "-$agent" 2>/dev/null || true; rm -rf "$work"' EXIT
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$work")
cd "$work"
mapfile -t commands < <(awk '/^```sh$/ {inside = 1; next} /^```$/ {inside = 0} inside' README.md)
[ ${#commands[@]} = 2 ] || { echo "README.md has ${#commands[@]} commands of set-up, not 2"; exit 1; }

setsid bash -c "trap - INT; ${commands[0]}" >agent.log 2>&1 &
agent=$!
for _ in $(seq 600); do
  if .venv/bin/consulpy members 2>/dev/null | tee members | grep -q 'alive.*server'; then break; fi
  kill -0 "$agent" 2>/dev/null || break
  sleep 0.5
done
grep -q 'alive.*server' members || { echo "the agent did not come up"; cat agent.log; exit 1; }
kill -INT -- "-$agent"
wait "$agent" || true
grep -q 'SIGINT: shutting down' agent.log || { echo "the agent did not end on Ctrl-C"; cat agent.log; exit 1; }
agent=

PYTEST_ADDOPTS=tests/unit/codec bash -c "${commands[1]}"
