#!/usr/bin/env bash
# Runs the benchmarks (ARGS narrows them, such as ARGS="-bench Seal ./retention/vault"), prints a table
# and leaves the figures as JSON under .bench/. Machines are noisy: compare within one run, by median.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .bench
out=.bench/$(date -u +%Y%m%dT%H%M%SZ)
args=${ARGS:-./...}
case "$args" in *-bench*) ;; *) args="-bench . $args" ;; esac
# shellcheck disable=SC2086 # ARGS holds several words
PATH="$PWD/.tools/bin:$PATH" "${GO:-go}" test -run '^$' -timeout 90m -benchmem $args 2>&1 | tee "$out.txt" | grep -v -E '\[no test files\]|^(PASS|ok|goos|goarch|cpu|\?)' || true
awk '
  /^pkg: / { pkg = $2 }
  /^Benchmark/ && NF > 3 {
    printf "%s{\"package\":\"%s\",\"name\":\"%s\",\"iterations\":%s,\"metrics\":{", (n++ ? ",\n " : "[\n "), pkg, $1, $2
    for (i = 3; i < NF; i += 2) printf "%s\"%s\":%s", (i > 3 ? "," : ""), $(i + 1), $i
    printf "}}"
  }
  END { print (n ? "\n]" : "[]") }' "$out.txt" > "$out.json"
cp "$out.json" .bench/latest.json
grep -q '^FAIL' "$out.txt" && { echo "a benchmark failed: see $out.txt" >&2; exit 1; }
echo "figures: $out.json"
