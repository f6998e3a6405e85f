#!/usr/bin/env bash
# Debian packages of the programs that tests run against. Without the right to install, what is missing is named.
set -u
declare -A package_of=(
  [/usr/bin/dcmdump]=dcmtk [/usr/bin/dciodvfy]=dicom3tools [/usr/share/java/pixelmed.jar]=pixelmed-apps
  [/usr/sbin/Orthanc]=orthanc [/usr/bin/gdcminfo]=libgdcm-tools [/usr/bin/chromium]=chromium [/usr/sbin/ip]=iproute2
  [/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf]=fonts-dejavu-core
)
missing=()
for file in "${!package_of[@]}"; do [ -e "$file" ] || missing+=("${package_of[$file]}"); done
[ ${#missing[@]} -eq 0 ] && { echo "peers: all there"; exit 0; }
if [ "$(id -u)" -eq 0 ]; then as_root=(); elif sudo -n true 2>/dev/null; then as_root=(sudo -n); else
  echo "peers: not allowed to install; tests that need them are skipped by name: ${missing[*]}"; exit 0
fi
command -v apt-get >/dev/null || { echo "peers: no apt-get here; missing: ${missing[*]}"; exit 0; }
# Debian starts a server as soon as it is installed unless a policy says no; nothing of ours may listen beyond loopback.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
echo "peers: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq || true
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/fluoroscope-peers.log 2>&1 \
  || { tail -5 /tmp/fluoroscope-peers.log; echo "peers: could not install all of: ${missing[*]}"; }
exit 0
