import { damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import type { HoleAware } from "../../bytes/holes.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import type { Machine, MachineDisk } from "../machine.js";
import { proxmox } from "../proxmox.js";
import { BackupDevice } from "./device.js";
import { indexExtents } from "./extents.js";
import { BlobLength, CLUSTER, DeviceInfo, Header, MAGIC, TABLE, VERSION } from "./layout.js";
import type { Runs } from "./runs.js";
import { isSummedUp } from "./sum.js";

/** A machine with the raw contents of its disks, in the machine's order. */
export interface VmaPackage {
	readonly machine: Machine;
	readonly disks: readonly HoleAware[];
}

const CONFIGURATION = "qemu-server.conf";
/** Blobs of all configurations and devices there may be, and some more. */
const LARGEST_HEADER = 64 << 20;
const LARGEST_DEVICE = 2 ** 50;

interface Device {
	readonly id: number;
	readonly name: string;
	readonly size: number;
}

/**
 * Reads a backup of Proxmox VE. All of its extents' headers are read, not their blocks.
 *
 * @throws `damaged`; `not-found` for a backup without a configuration
 */
export async function readVma(source: ByteSource): Promise<VmaPackage> {
	const file = source.name;
	const { uuid, end, configurations, devices } = await readHeader(source);
	const bytes = configurations.get(CONFIGURATION);
	if (bytes === undefined) {
		throw notFound(`${file} has no ${CONFIGURATION}, which describes the machine`, {
			file,
			hint: "Back the VM up again with vzdump.",
		});
	}
	const machine = await proxmox.read({ name: CONFIGURATION, bytes });
	const clusters = new Map(devices.map(({ id, size }) => [id, Math.ceil(size / CLUSTER)]));
	const runs = await indexExtents(source, { at: end, uuid, clusters });
	return assembled(machine, new TextDecoder().decode(bytes), source, devices, runs);
}

/** Gives each disk its device. What was left out of the backup (`backup=0`) is told. */
function assembled(
	machine: Machine,
	configuration: string,
	source: ByteSource,
	devices: readonly Device[],
	runs: ReadonlyMap<number, Runs>,
): VmaPackage {
	const lost = [...machine.lost];
	const disks: HoleAware[] = [];
	const drives = machine.disks.filter((drive) => {
		if (drive.kind !== "disk") return true;
		const slot = slotOf(configuration, drive.file);
		const device = devices.find(({ name }) => slot !== undefined && name === `drive-${slot}`);
		const own = device && runs.get(device.id);
		if (device === undefined || own === undefined) {
			lost.push(`The disk ${drive.file ?? drive.id} is not in the backup.`);
			return false;
		}
		disks.push(new BackupDevice(`${source.name}:${device.name}`, device.size, source, own));
		return true;
	});
	const sizes = disks.map(({ size }) => size);
	const sized = (drive: MachineDisk) =>
		drive.kind === "disk" ? Object.assign({}, drive, { capacity: sizes.shift() }) : drive;
	return { machine: { ...machine, disks: drives.map(sized), lost }, disks };
}

/** The drive whose volume ends so. */
function slotOf(configuration: string, file: string | undefined): string | undefined {
	for (const line of configuration.split(/\r?\n/)) {
		const [, slot, volume = ""] = /^((?:ide|sata|scsi|virtio)\d{1,2}):\s*([^,]*)/.exec(line) ?? [];
		const [, named] = /^(?:file=)?(?:[\w.-]+:)?(.*)$/.exec(volume.trim()) ?? [];
		if (slot !== undefined && (named === file || volume.trim() === file)) return slot;
	}
	return undefined;
}

async function readHeader(source: ByteSource) {
	const file = source.name;
	const incomplete = { file, hint: "The backup is incomplete: copy it again." };
	if (source.size < Header.size) throw damaged(`${file} ends inside of its header`, incomplete);
	const header = Header.parse(await readBytes(source, 0, Header.size), 0, file);
	if (header.magic !== MAGIC) throw damaged(`${file} is no VMA`, { file });
	if (header.version !== VERSION) throw unsupported(`${file} is a VMA of version ${header.version}`, { file });
	const { header_size: size, blob_buffer_offset: blobsAt, blob_buffer_size: blobsSize } = header;
	if (size > LARGEST_HEADER) throw refused(`${file} is said to have a header of ${size} bytes`, { file });
	if (size > source.size) throw damaged(`${file} ends inside of its header`, incomplete);
	if (size < Header.size || blobsAt < Header.size || blobsAt + blobsSize > size) {
		throw damaged(`${file} has a header whose parts do not fit into it`, { file });
	}
	const whole = await readBytes(source, 0, size);
	if (!(await isSummedUp(whole, Header.offsets.md5sum))) {
		throw damaged(`${file} has a header that is not what it was written as: its checksum differs`, {
			file,
			offset: 0,
			hint: "Copy the backup again.",
		});
	}
	const blobs = whole.subarray(blobsAt, blobsAt + blobsSize);
	const blob = (pointer: number) => {
		const { length } = BlobLength.parse(blobs, pointer, file, blobsAt);
		const begin = pointer + BlobLength.size;
		if (begin + length > blobs.length) throw damaged(`${file} has a blob that leaves the header`, { file });
		return blobs.subarray(begin, begin + length);
	};
	const configurations = new Map<string, Uint8Array>();
	const devices: Device[] = [];
	for (let place = 0; place < TABLE; place++) {
		const name = pointerAt(header.config_names, place);
		if (name !== 0) configurations.set(textOf(blob(name)), blob(pointerAt(header.config_data, place)));
		const { devname_ptr: named, size } = DeviceInfo.parse(header.dev_info, place * DeviceInfo.size, file);
		if (named === 0) continue;
		if (size === 0 || size > LARGEST_DEVICE) {
			throw refused(`${file} is said to hold a disk of ${size} bytes`, { file });
		}
		devices.push({ id: place, name: textOf(blob(named)), size });
	}
	return { uuid: header.uuid, end: size, configurations, devices };
}

const pointerAt = (table: Uint8Array, place: number) =>
	new DataView(table.buffer, table.byteOffset, table.byteLength).getUint32(place * 4);

const textOf = (blob: Uint8Array) => new TextDecoder().decode(blob).replace(/\0.*$/s, "");
