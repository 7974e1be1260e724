#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment in an empty directory, and runs an agent from there: what a
# user gets, not what the checkout happens to hold.   wheel.sh PYTHON
set -euo pipefail
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
"$python" -m build -q --wheel --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "$work"/dist/*.whl
cd "$work"
mkdir empty && cd empty
"$work/venv/bin/consulpy" version
"$work/venv/bin/twistd" --help >"$work/twistd.help"
grep -q '^ *consulpy ' "$work/twistd.help" || { echo "wheel: twistd does not know consulpy"; exit 1; }
flags=(--server --bootstrap-expect 1 --node wheel --bind 127.0.77.1 --client 127.0.77.1 --data-dir "$PWD/data")
"$work/venv/bin/twistd" --nodaemon --pidfile= consulpy "${flags[@]}" >"$work/agent.log" 2>&1 &
agent=$!
for _ in $(seq 100); do
  if "$work/venv/bin/consulpy" members -http-addr=127.0.77.1:8500 >"$work/members" 2>/dev/null; then break; fi
  sleep 0.1
done
kill -INT $agent
wait $agent || true
grep -q 'wheel.*alive.*server' "$work/members" || { echo "wheel: the agent did not come up"; cat "$work/agent.log"; exit 1; }
cat "$work/members"
