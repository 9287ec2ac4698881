#!/bin/sh
# Starts the machine in QEMU. Options of your own are added: sh run.sh -nographic
cd "$(dirname "$0")" || exit 1
exec qemu-system-x86_64 \
	-name Web-server-No1 \
	-machine q35 -accel kvm -accel tcg -cpu max \
	-smp 2 -m 2048 \
	-uuid 11111111-2222-3333-4444-555555555555 \
	-drive id=disk0,if=virtio,format=vpc,file=Web-server-No1.vhd \
	-drive id=disk1,if=virtio,format=vpc,file=Web-server-No1-disk2.vhd \
	-nic user,model=virtio-net-pci,mac=00:15:5d:01:02:03 \
	-nic user,model=virtio-net-pci "$@"
