#!/bin/sh
# Installs the lowest version that pyproject.toml allows of everything it names, and runs tests with them.
#
#     sh scripts/lowest_versions.sh [PYTEST ARGUMENT ...]      (make test-lowest)
#
# A lower bound that no one ever installs is a guess. Into a throwaway environment (LOWEST_VENV, default
# .venv-lowest), by uv, because pip cannot resolve downwards. It runs the tests that need no clock of the wall
# and no browser, phone or database: the quick part, which still loads every module and every dependency. Linter and
# types are left out: they are about the source and not about the versions.
set -eu

cd "$(dirname "$0")/.."
venv=${LOWEST_VENV:-.venv-lowest}
jobs=${JOBS:-2}

say() { printf '%s\n' "lowest versions: $*"; }

if uv --version >/dev/null 2>&1; then
    uv=uv
elif [ -x .venv/bin/uv ]; then
    uv=.venv/bin/uv
else
    say "uv is needed to resolve downwards, and is not here: .venv/bin/pip install uv, then run this again" >&2
    exit 2
fi
for name in python3.11 python3; do
    command -v "$name" >/dev/null 2>&1 && python=$name && break
done

UV_PYTHON_DOWNLOADS=never
export UV_PYTHON_DOWNLOADS
say "installing into $venv ..."
"$uv" venv --quiet --clear --python "$python" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --resolution lowest-direct -e '.[dev]'
"$venv/bin/python" - <<'EOF'
# What was installed of what pyproject.toml names, for the log.
import re, tomllib
from importlib.metadata import version
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
names = project["dependencies"] + [d for group in ("moonshine", "piper", "espeak", "meaning", "postgres", "test") for d in project["optional-dependencies"][group]]
pairs = [(re.match(r"[A-Za-z0-9_.-]+", name).group(), name) for name in names]
print(", ".join(f"{name} {version(name)}" for name, _ in pairs if name != "piopiy-pipeline"))
EOF
say "running tests ..."
exec "$venv/bin/python" -m pytest -q -n "$jobs" -m "not realtime" \
    --ignore tests/browser --ignore tests/sip --ignore tests/rules "$@"
