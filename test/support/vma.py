"""Reads a VMA by its specification alone (pve-qemu, vma_spec.txt): checks it, and writes out what it holds.

usage: vma.py ARCHIVE FOLDER [--incomplete]
"""
import hashlib
import json
import pathlib
import sys

archive = open(sys.argv[1], "rb").read()
folder = pathlib.Path(sys.argv[2])
incomplete = "--incomplete" in sys.argv


def number(at, length):
    return int.from_bytes(archive[at : at + length], "big")


def check(held, message):
    if not held:
        sys.exit(f"{sys.argv[1]}: {message}")


def without_sum(data, at):
    return hashlib.md5(data[:at] + bytes(16) + data[at + 16 :]).digest()


check(archive[:4] == b"VMA\0" and number(4, 4) == 1, "no VMA of version 1")
uuid = archive[8:24]
blobs, blobs_size, header_size = number(48, 4), number(52, 4), number(56, 4)
check(blobs >= 12288 and header_size % 512 == 0 and blobs + blobs_size <= header_size, "impossible header")
check(without_sum(archive[:header_size], 32) == archive[32:48], "header checksum")


def blob(pointer):
    check(0 < pointer < blobs_size, "a blob outside of the buffer")
    at = blobs + pointer
    length = archive[at] + (archive[at + 1] << 8)
    check(pointer + 2 + length <= blobs_size, "a blob that leaves the buffer")
    return archive[at + 2 : at + 2 + length]


def string(pointer):
    content = blob(pointer)
    check(content.endswith(b"\0"), "a name without its end")
    return content[:-1].decode()


configs, devices = {}, {}
for place in range(256):
    name, data = number(2044 + 4 * place, 4), number(3068 + 4 * place, 4)
    if name:
        configs[string(name)] = blob(data)
    name, size = number(4096 + 32 * place, 4), number(4096 + 32 * place + 8, 8)
    if name:
        check(place not in (0, 255) and size > 0, "a device out of place")
        devices[place] = {"name": string(name), "size": size, "seen": set(), "image": None}
for name, content in configs.items():
    (folder / name).write_bytes(content)
for device in devices.values():
    device["image"] = open(folder / f"{device['name']}.raw", "w+b")
    device["image"].truncate(device["size"])

at, extents = header_size, 0
while at < len(archive):
    check(archive[at : at + 4] == b"VMAE" and archive[at + 8 : at + 24] == uuid, f"no extent at {at}")
    check(without_sum(archive[at : at + 512], 24) == archive[at + 24 : at + 40], f"checksum of the extent at {at}")
    data = at + 512
    for place in range(59):
        info = at + 40 + 8 * place
        mask, dev_id, cluster = number(info, 2), archive[info + 3], number(info + 4, 4)
        if dev_id == 0:
            continue
        device = devices[dev_id]
        check(cluster not in device["seen"] and cluster * 65536 < device["size"], f"cluster {cluster}")
        device["seen"].add(cluster)
        for block in range(16):
            if mask >> block & 1:
                start = cluster * 65536 + block * 4096
                device["image"].seek(start)
                device["image"].write(archive[data : data + 4096][: max(0, device["size"] - start)])
                data += 4096
    check(data - at - 512 == 4096 * number(at + 6, 2), f"count of blocks in the extent at {at}")
    at = data
    extents += 1

for device in devices.values():
    device["image"].close()
    clusters = -(-device["size"] // 65536)
    check(incomplete or len(device["seen"]) == clusters, f"missing clusters of {device['name']}")
print(
    json.dumps(
        {
            "uuid": uuid.hex(),
            "ctime": number(24, 8),
            "extents": extents,
            "devices": [{"name": d["name"], "size": d["size"], "clusters": len(d["seen"])} for d in devices.values()],
        }
    )
)
