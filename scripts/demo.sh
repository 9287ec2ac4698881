#!/usr/bin/env bash
# The main job on a real guest, from nothing to proof: builds a Debian guest that boots only on IDE, shows that it fails
# elsewhere, packs it once, expands it for every hypervisor, and boots the packages under their device models.
# Takes 5 to 10 minutes without hardware virtualization; everything it makes goes to ./demo.
set -euo pipefail
cd "$(dirname "$0")/.."
anyvisor=(node "$(node -p 'require("./package.json").bin.anyvisor')")
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. System packages: QEMU to boot with, and a kernel, GRUB, busybox and two initramfs generators to build a guest from"
scripts/system-packages.sh --demo

say "2. A Debian guest whose initramfs carries the drivers of its home, IDE, and of nothing else"
guest=$(node scripts/guest/build.mjs)
rm -rf demo
mkdir demo
# A reflink or sparse copy under a friendlier name; Anyvisor itself never writes to it.
cp --sparse=always --reflink=auto "$guest" demo/guest.raw
sha256sum demo/guest.raw >demo/guest.sha256
echo "demo/guest.raw"

say "3. Where will it run? Judged without booting:"
"${anyvisor[@]}" inspect demo/guest.raw | tee demo/before.txt

say "4. Is that so? The untouched guest at home, on VMware's PVSCSI, and on KVM's virtio:"
node scripts/boot.mjs raw:demo/guest.raw=virtualbox-ide raw:demo/guest.raw=vmware-pvscsi raw:demo/guest.raw=kvm-virtio-blk || true

say "5. Packed once, with what it lacks for every hypervisor, and expanded from that package:"
"${anyvisor[@]}" pack demo/guest.raw -o demo/appliance.ova
"${anyvisor[@]}" expand demo/appliance.ova --for all --checksum sha1 -o demo/packages
sha256sum --check --quiet demo/guest.sha256 && echo "demo/guest.raw is byte for byte what it was"

say "6. The packages themselves, booted under each hypervisor's device model:"
mkdir demo/xva
tar -xf demo/packages/xenserver/guest.xva -C demo/xva
xva-img -p disk-export demo/xva/Ref:* demo/xva.raw >/dev/null
rm -rf demo/xva
node scripts/boot.mjs \
	vmdk:demo/packages/vmware-vmx/guest.vmdk=vmware-pvscsi \
	vmdk:demo/packages/vmware-ova/guest.ova=vmware-nvme \
	raw:demo/xva.raw=xenserver-emulated \
	vhdx:demo/packages/hyperv-gen1/guest.vhdx=hyperv-gen1-emulated \
	qcow2:demo/packages/kvm/guest.qcow2=kvm-virtio-blk \
	vmdk:demo/packages/virtualbox/guest.ova=virtualbox-ahci
rm demo/xva.raw

say "Before:"
cat demo/before.txt
say "After:"
"${anyvisor[@]}" inspect demo/appliance.ova
say "The packages, each with an IMPORT.md:"
find demo/packages -type f | sort
