#!/bin/sh
# Starts CouchDB in its official image with Couchgate's settings and the cluster's secrets.
# The files are copied, not mounted where they belong: the image's entrypoint changes their owner and mode, and ends where it may not.
set -eu
home=${COUCHDB_HOME:-/opt/couchdb}
settings=$home/etc/local.d
cp "${INI:-/couchgate}"/*.ini "$settings/"
# Once: it is the last file by name, into which CouchDB writes what `couchgate setup` sets and removes. The folder is a volume.
[ -e "$settings/secrets.ini" ] || cp "${SECRETS:-/secrets}/couchdb.ini" "$settings/secrets.ini"
# A variable of this process alone: `docker inspect` does not show it.
COUCHDB_ERLANG_COOKIE=$(cat "${SECRETS:-/secrets}/erlang_cookie")
export COUCHDB_ERLANG_COOKIE
exec "${ENTRYPOINT:-/docker-entrypoint.sh}" "$home/bin/couchdb"
