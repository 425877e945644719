#!/usr/bin/env bash
# Installs what building and testing Klarsyn needs on Debian 12. It may be run again at any time and
# does nothing where nothing is missing. It needs root or sudo only if something is missing.
set -euo pipefail

# What the sandboxed decoder is linked with, the tools that tests check it by, and a C++ compiler.
packages=(
  build-essential pkg-config
  libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
  libopencv-dev libopencv-contrib-dev
  ffmpeg
)

say() { printf 'setup: %s\n' "$*" >&2; }

if ! command -v go >/dev/null; then
  say "Go is missing: install Go 1.26 or newer from https://go.dev/dl and put it on PATH"
  exit 1
fi

missing=()
for p in "${packages[@]}"; do
  # Status alone: a package that was removed but not purged is known to dpkg, too.
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { say "these packages are missing, and installing them needs root: ${missing[*]}"; exit 1; }
  as_root=(sudo)
fi
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
say "done"
