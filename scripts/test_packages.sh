#!/bin/sh
# Programs that only the tests need: installed where that can be done, else named. Called by make test.
#
# Without flite, which speaks the sentences that the tests make up, hardly a test can run. Without one
# of the others some tests are skipped, and say why.
set -eu

needed="flite:flite"
wanted="chromium:chromium npm:npm sipp:sip-tester baresip:baresip-core linphonec:linphone-cli ip:iproute2 unshare:util-linux initdb:postgresql nats-server:nats-server prometheus:prometheus"

is_there() {
    # Debian keeps PostgreSQL's programs out of PATH.
    command -v "$1" >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/"$1" >/dev/null 2>&1
}

missing_of() {
    for pair in $1; do
        is_there "${pair%%:*}" || printf '%s ' "${pair##*:}"
    done
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# PostgreSQL for the tests, which start their own: Debian would make a database and start a server for it.
install_postgresql() {
    settings=/etc/postgresql-common/createcluster.conf
    install postgresql-common || return 1
    cp -p $settings $settings.before-tests
    printf '\ncreate_main_cluster = false\n' >>$settings
    installed=0
    install postgresql || installed=1
    mv $settings.before-tests $settings
    return $installed
}

missing=$(missing_of "$needed $wanted")
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "test: installing the Debian packages ${missing% } ..."
    # Debian starts the servers that it installs (NATS, Prometheus). The tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    apt-get update -qq
    # One after the other: a package that this release does not have leaves the others installed.
    for package in $missing; do
        case $package in
        postgresql) install_postgresql ;;
        *) install "$package" ;;
        esac || echo "test: $package could not be installed: see above" >&2
    done
fi

missing=$(missing_of "$wanted")
[ -z "$missing" ] || echo "test: tests are skipped that need ${missing% } (Debian: sudo apt-get install ${missing% })" >&2
missing=$(missing_of "$needed")
[ -z "$missing" ] && exit 0
echo "test: the tests need ${missing% }: install it (Debian: sudo apt-get install ${missing% }, macOS: brew install ${missing% }), then run make test again" >&2
exit 1
