"""Writes a VMA by its specification (pve-qemu, vma_spec.txt), with the clusters of all disks in a random order.

usage: make-vma.py ARCHIVE CONFIGURATION NAME=RAW...
"""
import hashlib
import pathlib
import random
import struct
import sys

archive, configuration, *disks = sys.argv[1:]
uuid = bytes(range(16))
blobs = bytearray(1)


def blob(content):
    at = len(blobs)
    blobs.extend(struct.pack("<H", len(content)) + content)
    return at


def summed(data, at):
    data[at : at + 16] = hashlib.md5(data).digest()
    return data


header = bytearray(12288)
struct.pack_into(">4sI16sQ", header, 0, b"VMA\0", 1, uuid, 1_700_000_000)
struct.pack_into(">I", header, 2044, blob(b"qemu-server.conf\0"))
struct.pack_into(">I", header, 3068, blob(pathlib.Path(configuration).read_bytes()))
clusters = []
for place, disk in enumerate(disks, 1):
    name, raw = disk.split("=", 1)
    content = pathlib.Path(raw).read_bytes()
    struct.pack_into(">IIQ", header, 4096 + 32 * place, blob(name.encode() + b"\0"), 0, len(content))
    padded = content + bytes(-len(content) % 65536)
    clusters += [(place, at // 65536, padded[at : at + 65536]) for at in range(0, len(padded), 65536)]
size = -(-(12288 + len(blobs)) // 512) * 512
struct.pack_into(">III", header, 48, 12288, len(blobs), size)
random.Random(7).shuffle(clusters)
with open(archive, "wb") as out:
    out.write(summed(header + blobs + bytes(size - 12288 - len(blobs)), 32))
    for first in range(0, len(clusters), 59):
        extent, blocks = bytearray(512), []
        for place, (device, cluster, content) in enumerate(clusters[first : first + 59]):
            mask = 0
            for bit in range(16):
                block = content[bit * 4096 : bit * 4096 + 4096]
                if any(block):
                    mask |= 1 << bit
                    blocks.append(block)
            struct.pack_into(">HBBI", extent, 40 + 8 * place, mask, 0, device, cluster)
        struct.pack_into(">4sHH16s", extent, 0, b"VMAE", 0, len(blocks), uuid)
        out.write(summed(extent, 24) + b"".join(blocks))
