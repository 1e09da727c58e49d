#!/bin/sh
# Starts CouchDB in the official image with the settings of Couchgate and the secrets of the cluster.
# The files are copied, not mounted: the entrypoint changes their owner and mode, and exits if that fails.
set -eu
home=${COUCHDB_HOME:-/opt/couchdb}
settings=$home/etc/local.d
cp "${INI:-/couchgate}"/*.ini "$settings/"
# Only if it is missing or empty: CouchDB writes the changes of `couchgate setup` to the last file by name.
# The folder is a volume.
# Without `mv`, a full disk would leave a part of it.
if ! [ -s "$settings/secrets.ini" ]; then
  cp "${SECRETS:-/secrets}/couchdb.ini" "$settings/secrets.draft"
  mv "$settings/secrets.draft" "$settings/secrets.ini"
fi
# Set only in this process: `docker inspect` does not show it.
COUCHDB_ERLANG_COOKIE=$(cat "${SECRETS:-/secrets}/erlang_cookie")
export COUCHDB_ERLANG_COOKIE
exec "${ENTRYPOINT:-/docker-entrypoint.sh}" "$home/bin/couchdb"
