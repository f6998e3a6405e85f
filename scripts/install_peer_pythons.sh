#!/usr/bin/env bash
# Python programs that tests run as strangers, each in an environment of its own: their licences (OpenREM is GPL) and
# their pins stay out of ours. Where: FLUOROSCOPE_PEERS, else the user's cache. What cannot be had is named.
set -u
folder=${FLUOROSCOPE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/fluoroscope-peers}
maker=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
[ -x "$maker" ] || maker=python3
has() { "$folder/$1/bin/python" -c "from importlib.metadata import version as v; raise SystemExit(v('$1') != '$2')" 2>/dev/null; }
for wanted in pyskindose=25.1.1 openrem=1.0.0b3; do
  name=${wanted%=*} version=${wanted#*=}
  has "$name" "$version" && { echo "peers: $name $version is there"; continue; }
  echo "peers: installing $name $version"
  mkdir -p "$folder" && "$maker" -m venv --clear "$folder/$name" &&
    told=$("$folder/$name/bin/python" -m pip install -q "$name==$version" 2>&1)
  has "$name" "$version" || echo "peers: $name $version could not be had, tests that need it are skipped: $(tail -n 1 <<<"${told:-}")"
done
exit 0
