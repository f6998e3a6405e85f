#!/usr/bin/env bash
# Debian packages of the programs that tests run against. Without the right to install, what is missing is named.
set -u
bash "$(dirname "$0")/install_peer_pythons.sh"
wanted=(  # what must be there, and the package it comes from
  dcmdump=dcmtk dciodvfy=dicom3tools /usr/share/java/pixelmed.jar=pixelmed-apps java=default-jre-headless
  Orthanc=orthanc gdcminfo=libgdcm-tools chromium=chromium ip=iproute2 unshare=util-linux openssl=openssl
  /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core initdb=postgresql
  /usr/include/openigtlink/igtlClientSocket.h=libopenigtlink-dev g++=g++
)
PATH=/usr/bin:/usr/sbin:$(printf '%s:' /usr/lib/postgresql/*/bin)$PATH
missing_packages() {
  local pair
  for pair in "${wanted[@]}"; do
    case ${pair%%=*} in
      /*) [ -e "${pair%%=*}" ] || echo "${pair#*=}" ;;
      *) command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}" ;;
    esac
  done
}
skipped() { echo "peers: $1; tests that need them are skipped by name: $(missing_packages | xargs)"; exit 0; }

[ -z "$(missing_packages)" ] && { echo "peers: all there"; exit 0; }
command -v apt-get >/dev/null || skipped "no apt-get here"
if [ "$(id -u)" -eq 0 ]; then as_root=(env)
elif sudo -n true 2>/dev/null; then as_root=(sudo -n)
else skipped "not allowed to install"; fi

# Debian starts a server as soon as it is installed unless a policy says no; nothing of ours may listen beyond loopback.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod 755 "$policy"
fi
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends "$@" </dev/null 2>&1
}
with_orthanc=$(missing_packages | grep -x orthanc)
echo "peers: installing $(missing_packages | xargs)"
"${as_root[@]}" apt-get update -qq </dev/null || echo "peers: package lists could not be renewed, trying with those there are"
# All at once, else one by one: a package this system does not have must not keep the others away.
if ! told=$(install $(missing_packages)); then
  for package in $(missing_packages); do
    told=$(install "$package") || echo "peers: $package: $(tail -n 1 <<<"$told")"
  done
fi
# The tests start an Orthanc of their own; the package's must not start with the machine.
[ -z "$with_orthanc" ] || "${as_root[@]}" systemctl disable --quiet orthanc 2>/dev/null
[ -z "$(missing_packages)" ] || skipped "could not install all"
echo "peers: all there"
