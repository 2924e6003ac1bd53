#!/bin/sh
# Sets up .venv in this checkout. Called by make.
#
#     sh scripts/setup.sh run      # what `make run` needs
#     sh scripts/setup.sh          # that and what the tests need
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
# What pip and uv warn of, such as an index of this machine that is not there, would bury what matters here.
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }; }
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
    say "downloading about $mb MB with uv, once ..."
    UV_PYTHON_DOWNLOADS=never
    export UV_PYTHON_DOWNLOADS
    if [ -z "$keep" ]; then quietly uv venv --quiet --clear --python "$python" "$venv" || return 1; fi
    uv pip install --quiet --python "$venv/bin/python" --dry-run --no-deps "$moonshine" >"$log" 2>&1 || ears=
    quietly uv pip install --quiet --python "$venv/bin/python" -e ".[$extras${ears:+,$ears}]"
}

install_with_pip() {
    if [ -z "$keep" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
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
    fi
    say "downloading about $((mb + 65)) MB with pip, once (a minute or two) ..."
    pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
    $pip --dry-run --no-deps "$moonshine" >"$log" 2>&1 || ears=
    quietly $pip -e ".[$extras${ears:+,$ears}]" || fail "pip could not install it: see above"
}

# Where moonshine-voice has no wheel, the library in it is not missed, but the model is.
install_ears() {
    say "moonshine-voice has no wheel for this machine: its speech model is taken out of the wheel for another"
    "$venv/bin/python" -m piopiy_pipeline.services.stt.moonshine_download ||
        say "the bot cannot hear without it (see above): run make again, or name another recogniser with --stt" >&2
}

# What is downloaded, in MB, is measured as CONTRIBUTING.md says. pip takes 65 MB more: a compiler for pipecat's
# resampler, which nothing here uses and uv can be told to leave out.
ears=moonshine
moonshine="moonshine-voice==0.0.73"
case "${1:-}" in
run) extras=piper,espeak,meaning mb=345 done=.runs ;;
"") extras=piper,espeak,meaning,test mb=470 done=.installed ;;
*) fail "usage: sh scripts/setup.sh [run]" ;;
esac

python=$(find_python) || fail "Python 3.11 or later is needed, and none of python3.11, python3.12, python3.13, python3 is one: install it (Debian: apt-get install python3, macOS: brew install python@3.12)"
if "$python" -c 'import sysconfig, sys; sys.exit("musl" not in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""))'; then
    fail "this system's C library is musl, for which onnxruntime and others have no wheels: use one with glibc, such as Debian's"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The tests' part is added to what `make run` has installed, unless that is out of date.
keep=
if [ "$venv/.runs" -nt pyproject.toml ] && [ "$venv/.runs" -nt scripts/setup.sh ]; then keep=1 mb=$((mb - 345)); fi
rm -f "$venv/$done"

if has_uv; then
    install_with_uv || { say "uv could not install it (see above): trying pip"; ears=moonshine; install_with_pip; }
else
    install_with_pip
fi
[ -n "$ears" ] || install_ears
"$venv/bin/python" -c 'import piopiy_pipeline' || fail "the installation is broken: remove $venv and run make again"
touch "$venv/.runs" "$venv/$done"
say "done: $("$venv/bin/python" --version) in $venv"
