#!/usr/bin/env bash
# Make .venv with exactly what requirements.lock pins, and this checkout in it. `make` calls it when the lock is newer.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv stamp=.venv/.ready started=$SECONDS

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$@" >&2; exit 1; }

# The versions that every locked package has wheels for.
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }

find_python() {
  local name
  for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    if supported "$name"; then echo "$name"; return; fi
  done
  stop "no Python 3.11, 3.12 or 3.13 found${PYTHON:+ as PYTHON=$PYTHON}." \
    "Install one (Debian: apt-get install python3 python3-venv) or name one: make setup PYTHON=/path/to/python3.11"
}

# Some systems split Python up (Debian keeps ensurepip in python3-venv): borrow the system's pip, or fetch the missing part.
make_venv() {
  local python=$1 version
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$venv"
  elif "$python" -c 'import pip, venv' 2>/dev/null; then
    "$python" -m venv --without-pip "$venv"
    outer_pip=$python
  elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "this Python has no ensurepip: installing Debian's python$version-venv"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
    "$python" -m venv "$venv"
  else
    stop "$python has neither ensurepip nor pip, so no virtual environment can be made." \
      "Debian and Ubuntu: apt-get install python$version-venv. Then run the same command again."
  fi
}

# pip installs only uv, at the version and hashes that the lock names; uv does the rest, ten times faster.
install_uv() {
  awk '/^[^ ]/ { keep = /^uv==/ } keep' requirements.lock > "$venv/uv.lock"
  if [ -n "${outer_pip:-}" ]; then
    "$outer_pip" -m pip --python "$venv/bin/python" install --quiet --require-hashes -r "$venv/uv.lock"
  else
    "$venv/bin/python" -m pip install --quiet --require-hashes -r "$venv/uv.lock"
  fi
}

lock_hash() { "$venv/bin/python" -c 'import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])).hexdigest())' \
  requirements.lock pyproject.toml; }

if supported "$venv/bin/python" && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(lock_hash)" ]; then
  touch "$stamp"
  exit 0
fi
if ! supported "$venv/bin/python"; then
  python=$(find_python)
  say "making $venv with $("$python" --version)"
  rm -rf "$venv"
  make_venv "$python"
fi
[ -x "$venv/bin/uv" ] || { say "installing uv with pip"; install_uv; }
say "installing $(grep -c '^[a-zA-Z0-9].*==' requirements.lock) locked packages (about 6 GB the first time: torch brings CUDA)"
VIRTUAL_ENV=$PWD/$venv "$venv/bin/uv" pip install --require-hashes -r requirements.lock
say "installing this checkout, editable"
VIRTUAL_ENV=$PWD/$venv "$venv/bin/uv" pip install --quiet --offline --no-deps --no-build-isolation -e .
lock_hash > "$stamp"
say "done in $((SECONDS - started)) s; next: make demo"
