#!/usr/bin/env bash
# postgres.sh up|down DIR: a PostgreSQL server on 127.0.0.1:POSTGRES_PORT with a user and a database
# strata; the user's password is POSTGRES_PASSWORD.
set -euo pipefail
DIR=$2
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

if [ "$1" = down ]; then
  stop postgres INT  # fast shutdown: clients are disconnected
  exit 0
fi

mkdir -p "$DIR"/{log,run}
[ -n "$(compgen -G '/usr/lib/postgresql/*/bin/postgres')" ] || install postgresql
bin=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -n 1)")
as=()
if [ "$(id -u)" = 0 ]; then  # the server refuses to run as root
  as=(setpriv --reuid=postgres --regid=postgres --init-groups)
  chown postgres "$DIR" "$DIR"/run "$DIR"/log
fi

make_cluster() {
  local password="$DIR/run/password"
  (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" >"$password")
  if [ ${#as[@]} -gt 0 ]; then chown postgres "$password"; fi
  "${as[@]}" "$bin/initdb" -D "$DIR/data" -U strata --pwfile="$password" --no-sync \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  rm "$password"
}

[ -e "$DIR/data/PG_VERSION" ] || make_cluster >>"$DIR/log/setup.log" 2>&1 || die "initdb failed"
start postgres "${as[@]}" "$bin/postgres" -D "$DIR/data" -h 127.0.0.1 -p "$POSTGRES_PORT" \
  -k "$DIR/run" -c fsync=off -c max_connections=50
export PGCONNECT_TIMEOUT=2 PGPASSWORD=$POSTGRES_PASSWORD PGHOST=127.0.0.1 PGPORT=$POSTGRES_PORT PGUSER=strata
await postgres 60 "$bin/psql" -d postgres -c 'select 1'
"$bin/psql" -qtA -d postgres -c "select 1 from pg_database where datname = 'strata'" | grep -q 1 ||
  "$bin/createdb" strata
