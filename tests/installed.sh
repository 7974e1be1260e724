#!/usr/bin/env bash
# What a user gets, not what the checkout happens to hold: the package is installed into a fresh environment, and an
# agent runs from an empty directory.   installed.sh wheel|editable PYTHON
set -euo pipefail
kind=$1 python=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
"$python" -m venv "$work/venv"
case $kind in
  wheel)
    "$work/venv/bin/pip" install -q build
    "$work/venv/bin/python" -m build -q --wheel --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
    "$work/venv/bin/pip" install -q "$work"/dist/*.whl ;;
  editable) "$work/venv/bin/pip" install -q -e "$root" ;;
  *) echo "usage: installed.sh wheel|editable PYTHON"; exit 2 ;;
esac
mkdir "$work/empty" && cd "$work/empty"
"$work/venv/bin/consulpy" version
"$work/venv/bin/twistd" --help >"$work/twistd.help"
grep -q '^ *consulpy ' "$work/twistd.help" || { echo "$kind: twistd does not know consulpy"; exit 1; }
"$work/venv/bin/twistd" consulpy --help >"$work/consulpy.help"
grep -q -- '-bootstrap-expect' "$work/consulpy.help" || { echo "$kind: twistd consulpy --help does not help"; exit 1; }
flags=(--server --bootstrap-expect 1 --node installed --bind 127.0.77.1 --client 127.0.77.1 --data-dir "$PWD/data" -ui)
"$work/venv/bin/twistd" --nodaemon --pidfile= consulpy "${flags[@]}" >"$work/agent.log" 2>&1 &
agent=$!
for _ in $(seq 100); do
  if "$work/venv/bin/consulpy" members -http-addr=127.0.77.1:8500 >"$work/members" 2>/dev/null; then break; fi
  sleep 0.1
done
"$work/venv/bin/python" - >"$work/page" 2>&1 <<'PAGE' || true
import re, urllib.request
get = lambda path: urllib.request.urlopen("http://127.0.77.1:8500" + path, timeout=10).read().decode()
index = get("/ui/")
for path in re.findall(r'(?:src|href)="(/ui/[^"]+)"', index):
    get(path)
print("the page is there")
PAGE
kill -INT $agent
wait $agent || true
grep -q 'installed.*alive.*server' "$work/members" || { echo "$kind: the agent did not come up"; cat "$work/agent.log"; exit 1; }
grep -q 'the page is there' "$work/page" || { echo "$kind: the web page is not whole"; cat "$work/page"; exit 1; }
cat "$work/members"
if [ "$kind" = wheel ]; then  # the programs of the pages, as a newcomer runs them
  "$work/venv/bin/pip" install -q pytest
  mkdir "$work/programs"
  "$work/venv/bin/python" "$root/tests/docs_programs.py" "$work/programs" "$root"/docs/{embedding,testing}.md
fi
