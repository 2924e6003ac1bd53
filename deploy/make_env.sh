#!/bin/sh
# Writes deploy/.env with new secrets for compose.yaml, once. Only its owner can read it.
#
#     sh deploy/make_env.sh [ADDRESS]     the address by which callers reach this machine, if not that of its network
set -eu

cd "$(dirname "$0")"
[ ! -e .env ] || {
    echo "make_env: deploy/.env is there already: nothing was changed" >&2
    exit 1
}
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
own=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
address=${1:-$own}
[ -n "$address" ] || {
    echo "make_env: which address has this machine? sh deploy/make_env.sh ADDRESS" >&2
    exit 1
}
# Behind a one-to-one NAT, as most clouds have it, browsers are told the address that the world knows.
webrtc=
case $address in
*[!0-9.]*) ;;
*)
    case $(ip -4 route get "$address" 2>/dev/null) in
    '' | local*) ;; # an address of this machine
    *) webrtc=${own:+$own=$address} ;;
    esac
    ;;
esac
umask 077
cat >.env <<END
AGENT_TOKEN=$(secret)
CALLER_KEY=$(secret)
API_KEY=$(secret)
TOKEN_SECRET=$(secret)
POSTGRES_PASSWORD=$(secret)
GRAFANA_PASSWORD=$(secret)
NATS_TOKEN=$(secret)
PUBLIC_ADDRESS=$address
PRIVATE_ADDRESS=
WEBRTC_ADDRESS=$webrtc
PAGES=[]
END
echo "make_env: wrote deploy/.env for $address; operators' key: API_KEY, Grafana's: admin and GRAFANA_PASSWORD"
