#!/bin/sh
# Sets up .venv in this checkout with everything that running and testing need. Called by make.
#
# With uv if it is there, else with Python's own venv and pip. Never touches the packages of the
# system's Python. On Debian, as root, the package that venv needs is installed if it is missing.
set -eu

cd "$(dirname "$0")/.."
venv=.venv

say() { printf '%s\n' "setup: $*"; }
fail() {
    printf '%s\n' "setup: $*" >&2
    exit 1
}
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_uv() { uv --version >/dev/null 2>&1; } # a shim may be on PATH with no uv behind it
has_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

find_python() {
    # 3.11 first: it is what the tests run on. PIOPIY_PYTHON names another.
    for name in ${PIOPIY_PYTHON:+"$PIOPIY_PYTHON"} python3.11 python3.12 python3.13 python3; do
        if command -v "$name" >/dev/null 2>&1 && is_recent "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

make_venv() {
    "$python" -m venv --clear "$venv" >"$log" 2>&1
}

install_with_uv() {
    say "installing with uv (some seconds, a minute on a slow line) ..."
    UV_PYTHON_DOWNLOADS=never
    export UV_PYTHON_DOWNLOADS
    uv venv --quiet --clear --python "$python" "$venv" && uv pip install --quiet --python "$venv/bin/python" -e '.[dev]'
}

install_with_pip() {
    say "making $venv with $python ..."
    if ! make_venv; then
        if has_apt; then
            say "Python's venv module is incomplete: installing Debian's package for it ..."
            version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
            apt-get update -qq || fail "apt-get update failed: see above"
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" ||
                DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv ||
                fail "the package python3-venv could not be installed: see above"
            make_venv || { cat "$log" >&2; fail "$python -m venv failed: see above"; }
        else
            cat "$log" >&2
            fail "install uv (https://docs.astral.sh/uv) or, on Debian, python3-venv (sudo apt-get install python3-venv), then run make again"
        fi
    fi
    say "installing with pip (a minute or two) ..."
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
}

python=$(find_python) || fail "Python 3.11 or later is needed, and none of python3.11, python3.12, python3.13, python3 is one: install it (Debian: apt-get install python3, macOS: brew install python@3.12)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
rm -f "$venv/.installed"

if has_uv; then
    install_with_uv || { say "uv could not install it (see above): trying pip"; install_with_pip; }
else
    install_with_pip
fi
"$venv/bin/python" -c 'import piopiy_pipeline' || fail "the installation is broken: remove $venv and run make again"
touch "$venv/.installed"
say "done: $("$venv/bin/python" --version) in $venv"
