#!/usr/bin/env bash
# Makes on a MinIO server what Klarsyn's processes need, and no more: a bucket with versions, and an access
# key for each process that may do that process's part alone.
#
#   MC=.tools/bin/mc deploy/roles/minio.sh https://objects.example:9000 clips /etc/klarsyn/keys
#
# The administrator's access key comes from MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, a private authority's
# certificate from CA. For each process a file FOLDER/NAME.credentials is written, mode 0600, to be given to
# that process's user and named in its address: s3://HOST:PORT/BUCKET?credentials=FILE. A file that is there
# already is kept, with its access key. The script may be run again at any time.
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
endpoint=$1 bucket=$2 folder=$3
: "${MINIO_ROOT_USER:?the administrator\'s access key}" "${MINIO_ROOT_PASSWORD:?the administrator\'s secret}"
mc=${MC:-mc}
command -v "$mc" >/dev/null || { echo "minio.sh: $mc is missing: install MinIO's client, or name it in MC" >&2; exit 1; }

# Secrets go through the environment and standard input: arguments stand in process lists.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MC_CONFIG_DIR=$work
if [ -n "${CA:-}" ]; then
  mkdir -p "$work/certs/CAs"
  cp "$CA" "$work/certs/CAs/authority.crt"
fi
encoded() { local i c; for ((i = 0; i < ${#1}; i++)); do c=${1:i:1}; case $c in [A-Za-z0-9.~_-]) printf %s "$c" ;; *) printf '%%%02X' "'$c" ;; esac; done; }
MC_HOST_square="${endpoint%%://*}://$(encoded "$MINIO_ROOT_USER"):$(encoded "$MINIO_ROOT_PASSWORD")@${endpoint#*://}"
export MC_HOST_square

"$mc" --quiet mb --ignore-existing "square/$bucket" >/dev/null
"$mc" --quiet version enable "square/$bucket" >/dev/null

# role NAME POLICY…: an access key that the statements allow.
role() {
  local name=$1 file=$folder/$1.credentials policy=$work/$1.json
  cat >"$policy"
  "$mc" --quiet admin policy create square "klarsyn-$bucket-$name" "$policy" >/dev/null
  if [ ! -s "$file" ]; then
    local secret
    secret=$(head -c 30 /dev/urandom | base64 | tr -d '/+=')
    (umask 077 && printf '[default]\naws_access_key_id = klarsyn-%s-%s\naws_secret_access_key = %s\n' "$bucket" "$name" "$secret" >"$file")
  fi
  local access secret
  access=$(sed -n 's/^aws_access_key_id = //p' "$file")
  secret=$(sed -n 's/^aws_secret_access_key = //p' "$file")
  printf '%s\n%s\n' "$access" "$secret" | "$mc" --quiet admin user add square >/dev/null
  "$mc" --quiet admin policy attach square "klarsyn-$bucket-$name" --user "$access" >/dev/null 2>&1 ||
    "$mc" --quiet admin policy entities square --user "$access" | grep -q "klarsyn-$bucket-$name"
  echo "$file"
}

mkdir -p "$folder"
role ingest <<POLICY
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::$bucket/*"]},
  {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::$bucket/installation/*"]}
]}
POLICY
# serve puts the parts of clips that it cuts out into cases.
role serve <<POLICY
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::$bucket/*"]},
  {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::$bucket/clips/*", "arn:aws:s3:::$bucket/probe/*"]}
]}
POLICY
role retain <<POLICY
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"], "Resource": ["arn:aws:s3:::$bucket"]},
  {"Effect": "Allow", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:PutObjectLegalHold", "s3:GetObjectLegalHold"], "Resource": ["arn:aws:s3:::$bucket/clips/*", "arn:aws:s3:::$bucket/probe/*"]},
  {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::$bucket/installation/*"]}
]}
POLICY
# fsck reads all and changes nothing.
role fsck <<POLICY
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketObjectLockConfiguration"], "Resource": ["arn:aws:s3:::$bucket"]},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectLegalHold"], "Resource": ["arn:aws:s3:::$bucket/*"]}
]}
POLICY
# restore puts a backup's rows back beside the objects: it looks what lies there, reads none of it, removes what no row explains,
# also where the rows that were lost had it held, and says that another epoch begins.
role restore <<POLICY
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"], "Resource": ["arn:aws:s3:::$bucket"]},
  {"Effect": "Allow", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:PutObjectLegalHold"], "Resource": ["arn:aws:s3:::$bucket/clips/*", "arn:aws:s3:::$bucket/probe/*"]},
  {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": ["arn:aws:s3:::$bucket/installation/*"]},
  {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::$bucket/probe/*"]}
]}
POLICY
