import { notFound, refused } from "./bytes/errors.js";
import { type ByteSource, readUpTo } from "./bytes/source.js";
import { disksBeside } from "./hyperv-folders.js";
import { BOX_METADATA, type Box, boxDescriptor, readBox } from "./machine/vagrant.js";
import type { Origin } from "./open.js";
import { leadOf, type OpenNeighbour, outside } from "./source/confine.js";
import type { TarMember } from "./source/tar.js";

const plain = (name: string) => name.replace(/^(?:\.\/)+/, "");

/** What the members of an archive say of a Vagrant box; undefined where it is none. */
export async function boxIn(members: readonly TarMember[]): Promise<Box | undefined> {
	const metadata = members.find(({ name, type }) => type === "file" && plain(name) === BOX_METADATA);
	if (metadata === undefined) return undefined;
	const { source } = metadata;
	return readBox({ name: source.name, bytes: await readUpTo(source, 0, 2 << 20) });
}

/** The descriptor of a box with its disks beside it, or its disks alone. */
export async function openBox(
	box: Box,
	members: readonly TarMember[],
	{ source: archive, decompress }: Origin,
): Promise<{ readonly descriptor: Origin } | { readonly disks: readonly Origin[] }> {
	const files = new Map(members.map((member) => [plain(member.name), member]));
	const open = (path: string): ByteSource => {
		const member = files.get(path);
		if (member === undefined) throw notFound(`${archive.name} has no member ${path}`, { file: archive.name });
		if (member.type === "file") return member.source;
		throw refused(`${archive.name} has ${path} as a ${member.type}, where only files are followed`, {
			file: archive.name,
		});
	};
	const at = (path: string): Origin => {
		const folder = path.slice(0, path.lastIndexOf("/") + 1);
		return {
			source: open(path),
			neighbour: membersOf(archive, folder, files, open),
			...(decompress && { decompress }),
		};
	};
	const descriptor = boxDescriptor(box, [...files.keys()], archive.name);
	return descriptor === undefined
		? { disks: box.disks.map((path) => at(plain(path))) }
		: { descriptor: at(descriptor) };
}

/** The members of a folder; for what describes a machine of Hyper-V, those of the folder of its disks as well. */
function membersOf(
	archive: ByteSource,
	folder: string,
	files: ReadonlyMap<string, TarMember>,
	open: (path: string) => ByteSource,
): OpenNeighbour {
	const folders = [folder, ...disksBeside(folder)];
	return async (name) => {
		const { path, inside } = leadOf("", name);
		if (!inside) throw outside(name, archive.name, path);
		return open(folders.map((each) => each + path).find((each) => files.has(each)) ?? folder + path);
	};
}
