#!/usr/bin/env bash
# Installs what Klarsyn needs on Debian 12: to be built and run; with --tests also what its tests run
# against. It may be run again at any time and does nothing where nothing is missing. It needs root or sudo
# only if a package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

# What the sandboxed decoder is linked with, and a C++ compiler.
packages=(
  build-essential pkg-config
  libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
  libopencv-dev libopencv-contrib-dev
)
tests=
case "${1:-}" in
  '') ;;
  --tests)
    tests=yes
    packages+=(
      ffmpeg                    # checks what is recorded
      postgresql-15             # the catalogue's production store
      # somebody else's cameras: GStreamer's RTSP server, driven from Python, and VLC
      python3-gi gir1.2-gst-rtsp-server-1.0
      gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
      vlc-bin vlc-plugin-base
    ) ;;
  *) say "unknown argument $1: want nothing, or --tests"; exit 2 ;;
esac

# Servers that tests run as processes, apart from go.mod, each at one version.
tools=(
  minio=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
  mc=github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9
  versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0
)

if ! command -v go >/dev/null; then
  say "Go is missing: install Go 1.26 or newer from https://go.dev/dl and put it on PATH"
  exit 1
fi

missing=()
for p in "${packages[@]}"; do
  # Status alone: a package that was removed but not purged is known to dpkg, too.
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "these packages are missing, and installing them needs root: ${missing[*]}"; exit 1; }
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  say "done"
fi

[ -n "$tests" ] || exit 0
mkdir -p .tools/bin .tools/installed
for t in "${tools[@]}"; do
  name=${t%%=*} module=${t#*=}
  # The mark names the version: another one is installed anew.
  [ -x ".tools/bin/$name" ] && [ "$(cat ".tools/installed/$name" 2>/dev/null)" = "$module" ] && continue
  say "building $name (${module##*@}; a few minutes, once)"
  GOFLAGS= GOBIN=$PWD/.tools/bin go install "$module"
  echo "$module" >".tools/installed/$name"
done
# promtool alone, which tests alerting rules: Debian's package as a whole would start a server.
if [ ! -x .tools/bin/promtool ]; then
  say "fetching promtool (19 MB, once)"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
  dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool
  install -m 755 "$work/usr/bin/promtool" .tools/bin/promtool
fi
