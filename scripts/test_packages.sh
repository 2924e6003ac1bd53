#!/bin/sh
# Programs that only the tests need: installed where that can be done, else named. Called by make test.
set -eu

# flite speaks the sentences that the tests make up.
command -v flite >/dev/null 2>&1 && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "test: installing the Debian package flite ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq flite >/dev/null
    exit 0
fi
echo "test: the tests need flite: install it (Debian: sudo apt-get install flite, macOS: brew install flite), then run make test again" >&2
exit 1
