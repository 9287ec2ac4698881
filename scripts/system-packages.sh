#!/usr/bin/env bash
# Installs the system packages that the demo, the judges of the tests and the boots use. Debian 12 and its relatives.
# Anyvisor itself needs none of them.
#
#   scripts/system-packages.sh                install what is missing
#   scripts/system-packages.sh --demo         only what the demo needs
#   scripts/system-packages.sh --disposable   also what would change how this machine boots or is networked: for CI
#   scripts/system-packages.sh --check        exit 1 and list what is missing
set -euo pipefail

packages=(
	# boots: machine emulator, UEFI firmware
	qemu-system-x86 ovmf
	# the demo's guest: kernel, initramfs generators, user land, boot loader, file systems, partitions
	linux-image-amd64 initramfs-tools dracut-core busybox-static grub-common
	e2fsprogs dosfstools mtools fdisk cpio kmod zstd
	# takes the disk out of an XVA
	xva-img
	xxhash
	# faster codecs, used when they are there
	libdeflate0 libzstd1
)
if [ "${1:-}" != --demo ]; then
	packages+=(
		# the other test guests: volumes, file systems, boot loaders
		gdisk lvm2 mdadm thin-provisioning-tools cryptsetup-bin
		xfsprogs btrfs-progs ntfs-3g exfatprogs exfat-fuse genisoimage xorriso libarchive-tools attr
		erofs-utils f2fs-tools jfsutils nilfs-tools reiserfsprogs squashfs-tools udftools
		systemd-boot-efi binutils shim-unsigned sbsigntool openssl
		# judges of what is read and written
		qemu-utils shellcheck 7zip libvhdi-utils python3-libvhdi python3-yaml libxml2-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
		xz-utils lz4 lzop bzip2 libvmdk-utils file strace udev netplan.io selinux-utils
		# edits file systems that nothing here can edit
		libguestfs-tools
		# benchmarks
		time
	)
fi
# Names that differ from release to release: what judges by them is skipped without.
optional=()
if [ "${1:-}" != --demo ]; then
	# xl's own reader of domains
	optional+=(libxenmisc4.17)
fi
if [ "${1:-}" = --disposable ]; then
	# Judges of boot entries and of network configurations.
	packages+=(systemd-boot ifupdown)
fi

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for package in "${packages[@]}"; do
	is_installed "$package" || missing+=("$package")
done

if [ "${#missing[@]}" -eq 0 ]; then
	exit 0
fi
if [ "${1:-}" = --check ]; then
	echo "Missing system packages: ${missing[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "This system has no apt-get. Install the equivalents of: ${missing[*]}" >&2
	exit 1
fi

echo "Installing ${#missing[@]} system packages for test guests, boots and independent judges: ${missing[*]}"
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for package in ${optional[@]+"${optional[@]}"}; do
	is_installed "$package" || "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
		echo "There is no $package here: what it judges is skipped."
done
echo "Done."
