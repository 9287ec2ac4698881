import { damaged, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import {
	child,
	childrenOf,
	descend,
	MAX_DESCRIPTOR,
	parseXml,
	textOf,
	type XmlElement,
} from "../../machine/xml-read.js";
import { SECTOR } from "./layout.js";
import { ROOT } from "./mark.js";

/**
 * What DiskDescriptor.xml says of a disk's current state:
 * https://www.qemu.org/docs/master/interop/prl-xml.html.
 */
export interface DiskDescriptor {
	/** One after the other they make the disk. */
	readonly storages: readonly Storage[];
	/** How many earlier states the disk keeps. */
	readonly snapshots: number;
	readonly uid: string | undefined;
}

export interface Storage {
	/** In bytes. */
	readonly size: number;
	readonly root: Image;
	/** What continues the root and each other, oldest first; all of them `Compressed`. */
	readonly overlays: readonly Image[];
}

interface Image {
	/** `Compressed` is an expandable image, whose data is as plain as that of the other. */
	readonly type: "Plain" | "Compressed";
	readonly file: string;
}

/** The current state, where no TopGUID names another. */
const TOP = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";
const NIL = "{00000000-0000-0000-0000-000000000000}";
/** States that may continue each other. */
const DEEPEST = 10;
const MOST_STORAGES = 256;

/** @throws `damaged`, `unsupported`, and `refused` for encryption and for more files than a disk needs */
export async function readDescriptor(source: ByteSource): Promise<DiskDescriptor> {
	const file = source.name;
	// One byte more than the parser takes, so that it says what is wrong with a larger one.
	const bytes = await readBytes(source, 0, Math.min(source.size, MAX_DESCRIPTOR + 1));
	const root = await parseXml({ name: file, bytes });
	if (root.name !== ROOT) throw damaged(`${file} is not the descriptor of a Parallels disk`, { file });
	const parameters = descend(root, "Disk_Parameters");
	checkParameters(parameters, file);

	const shots = childrenOf(descend(root, "Snapshots"), "Shot");
	const top = idOf(descend(root, "Snapshots"), "TopGUID") ?? TOP;
	return {
		storages: readStorages(root, chainOf(shots, top, file), file),
		snapshots: Math.max(0, shots.length - 1),
		uid: textOf(descend(parameters, "UID")),
	};
}

function checkParameters(parameters: XmlElement | undefined, file: string): void {
	const engine = idOf(descend(parameters, "Encryption"), "Engine") ?? NIL;
	if (engine !== NIL) {
		throw refused(`${file}: this disk is encrypted`, {
			file,
			hint: "Decrypt it in the configuration of its VM (Security), and use the result.",
		});
	}
	const sectorSize = textOf(child(parameters, "LogicSectorSize")) ?? String(SECTOR);
	const padding = textOf(child(parameters, "Padding")) ?? "0";
	const odd = sectorSize !== String(SECTOR) ? `sectors of ${shown(sectorSize)} bytes` : "padding between its sectors";
	if (sectorSize === String(SECTOR) && padding === "0") return;
	throw unsupported(`${file}: a disk with ${odd} is not supported`, {
		file,
		hint: "Convert it on the computer it comes from: prl_disk_tool.",
	});
}

/** The ids of the states that make up `top`, the oldest first. */
function chainOf(shots: readonly XmlElement[], top: string, file: string): string[] {
	const parents = new Map(shots.map((shot) => [idOf(shot, "GUID"), idOf(shot, "ParentGUID")]));
	const chain = [top];
	if (shots.length === 0) return chain;
	for (let id = top; ; ) {
		if (!parents.has(id))
			throw damaged(`${file}: there is no snapshot ${shown(id)}, which another one needs`, { file });
		const parent = parents.get(id) ?? NIL;
		if (parent === NIL) return chain.reverse();
		if (chain.length > DEEPEST) {
			throw refused(`${file}: more than ${DEEPEST} snapshots continue each other`, {
				file,
				hint: "Delete the VM's snapshots, which merges them. If it has fewer, they continue each other in a circle.",
			});
		}
		chain.push(parent);
		id = parent;
	}
}

function readStorages(descriptor: XmlElement, chain: readonly string[], file: string): Storage[] {
	const elements = childrenOf(descend(descriptor, "StorageData"), "Storage");
	if (elements.length === 0) throw damaged(`${file}: the descriptor names no files`, { file });
	if (elements.length > MOST_STORAGES) {
		throw refused(`${file}: a disk in ${elements.length} pieces; up to ${MOST_STORAGES} are read`, {
			file,
			hint: "Convert it on the computer it comes from: prl_disk_tool convert --merge.",
		});
	}
	const storages: Storage[] = [];
	let next = 0;
	for (const element of elements) {
		const start = sectorsOf(element, "Start", file);
		const end = sectorsOf(element, "End", file);
		if (start !== next || end < start) {
			const message = `${file}: a piece of the disk from sector ${start} to ${end}; it should begin at ${next}`;
			throw damaged(message, { file });
		}
		const { root, overlays } = imagesOf(element, chain, file);
		storages.push({ size: (end - start) * SECTOR, root, overlays });
		next = end;
	}
	const size = sectorsOf(descend(descriptor, "Disk_Parameters"), "Disk_size", file);
	if (next !== size) throw damaged(`${file}: the pieces have ${next} sectors, the disk ${size}`, { file });
	return storages;
}

function imagesOf(storage: XmlElement, chain: readonly string[], file: string): Pick<Storage, "root" | "overlays"> {
	const elements = childrenOf(storage, "Image");
	const [root, ...overlays] = chain.map((id) => imageOf(elements, id, file));
	if (root === undefined || overlays.some(({ type }) => type === "Plain")) {
		throw damaged(`${file}: a plain image continues another one, which only expanding ones can`, { file });
	}
	return { root, overlays };
}

function imageOf(images: readonly XmlElement[], id: string, file: string): Image {
	const image = images.find((image) => idOf(image, "GUID") === id);
	const type = textOf(child(image, "Type"));
	const name = textOf(child(image, "File"));
	if (name === undefined) throw damaged(`${file}: the descriptor names no file for the state ${shown(id)}`, { file });
	if (type === "Plain" || type === "Compressed") return { type, file: name };
	throw unsupported(`${file}: an image of type ${shown(type ?? "")} is not supported`, {
		file,
		hint: "Convert the disk on the computer it comes from: prl_disk_tool.",
	});
}

function sectorsOf(element: XmlElement | undefined, name: string, file: string): number {
	const text = textOf(child(element, name)) ?? "";
	const sectors = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
	if (Number.isSafeInteger(sectors * SECTOR)) return sectors;
	throw damaged(`${file}: the descriptor's ${name} is "${shown(text)}", not a number of sectors`, { file });
}

/** GUIDs are compared without regard to case. */
const idOf = (element: XmlElement | undefined, name: string) => textOf(child(element, name))?.toLowerCase();

/** Text from the file, for a message. */
const shown = (text: string) => text.slice(0, 40);
