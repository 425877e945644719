#!/usr/bin/env bash
# Makes on a PostgreSQL server what Klarsyn's processes need, and no more: two databases (rows and log; day
# keys), their owner, and a role for each process that may do that process's part alone.
#
#   deploy/roles/postgres.sh klarsyn /etc/klarsyn/keys
#   klarsyn init --data DIR --catalogue 'postgres://klarsyn@HOST/klarsyn?passfile=/etc/klarsyn/keys/owner.pgpass' \
#                           --keys 'postgres://klarsyn@HOST/klarsyn_keys?passfile=/etc/klarsyn/keys/owner.pgpass'
#   deploy/roles/postgres.sh klarsyn /etc/klarsyn/keys
#
# The first run makes databases and roles, klarsyn init the tables, the second run grants rights on them; run it
# again after each upgrade. psql finds the server and its administrator as always: PGHOST, PGPORT, PGUSER,
# PGPASSFILE. For each role a file FOLDER/NAME.pgpass is written, mode 0600, to be given to that process's user.
# A file that is there already is kept, with its password.
set -euo pipefail

[ $# -eq 2 ] && [[ $1 =~ ^[a-z][a-z0-9_]{0,30}$ ]] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
name=$1 folder=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"

# Passwords go through standard input: arguments stand in process lists.
sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"; }

role() {
  local role=$1 file=$folder/$2.pgpass password
  if [ ! -s "$file" ]; then
    password=$(head -c 30 /dev/urandom | base64 | tr -d '/+=')
    (umask 077 && printf '*:*:*:%s:%s\n' "$role" "$password" >"$file")
  fi
  password=$(sed -n 's/^\*:\*:\*:[^:]*://p' "$file")
  sql --dbname postgres <<SQL
SELECT format('CREATE ROLE %I LOGIN', '$role') WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '$role') \gexec
ALTER ROLE "$role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '$password';
SQL
  echo "$file"
}

role "$name" owner
for process in ingest serve retain fsck backup; do
  role "${name}_$process" "$process"
done
for database in "$name" "${name}_keys"; do
  sql --dbname postgres <<SQL
GRANT "$name" TO CURRENT_USER;
SELECT format('CREATE DATABASE %I OWNER %I', '$database', '$name') WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = '$database') \gexec
REVOKE ALL ON DATABASE "$database" FROM PUBLIC;
SQL
done

# What each process may do. A table that is not named is nobody's but its owner's.
if [ "$(sql --dbname "$name" <<<"SELECT to_regclass('catalogue_clip') IS NOT NULL AND to_regclass('occupancy_sample') IS NOT NULL;")" = t ]; then
  sql --dbname "$name" --set name="$name" --set ingest="${name}_ingest" --set serve="${name}_serve" --set retain="${name}_retain" --set fsck="${name}_fsck" --set backup="${name}_backup" --file "$here/catalogue.sql"
  sql --dbname "${name}_keys" --set name="${name}_keys" --set serve="${name}_serve" --set retain="${name}_retain" --set backup="${name}_backup" --file "$here/keys.sql"
  echo "rights on the tables are granted" >&2
else
  echo "databases and roles are made; now run klarsyn init as $name, then this script again" >&2
fi
