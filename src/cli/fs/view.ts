import { notFound, unsupported } from "../../bytes/errors.js";
import { GuestTree } from "../../filesystem/tree.js";
import { findVolume } from "../../guest/mounts.js";
import { lookAtFiles, type MountedVolume } from "../../pipeline.js";
import { openNamed, type VmOptions } from "../vm.js";
import { deviceNames } from "../volumes-text.js";

export interface ViewOptions extends VmOptions {
	readonly volume?: string;
}

/** Files of a VM that a user named; its disks are closed with it. */
export interface View extends AsyncDisposable {
	readonly tree: GuestTree;
}

/** Opens the files of a VM: of the guest's tree, or of one volume. */
export async function openView(name: string, options: ViewOptions): Promise<View> {
	const vm = await openNamed(name, options);
	try {
		const { volumes, tree } = await lookAtFiles(vm);
		return {
			tree:
				options.volume === undefined ? (tree ?? onlyVolume(name, volumes)) : oneVolume(name, options.volume, volumes),
			[Symbol.asyncDispose]: () => vm[Symbol.asyncDispose](),
		};
	} catch (error) {
		await vm[Symbol.asyncDispose]();
		throw error;
	}
}

function oneVolume(name: string, wanted: string, volumes: readonly MountedVolume[]): GuestTree {
	const devices = deviceNames(volumes);
	const found = volumes[devices.indexOf(wanted)] ?? findVolume(wanted, volumes);
	if (found === undefined) {
		throw notFound(`${name} has no volume ${wanted}`, {
			file: name,
			hint: `It has ${devices.join(", ")}; UUID=… and LABEL=… name one as well.`,
		});
	}
	return treeOf(name, wanted, found);
}

function treeOf(name: string, device: string, { filesystem, problem, recognised }: MountedVolume): GuestTree {
	if (filesystem !== undefined) return new GuestTree([{ mount: "/", filesystem }]);
	if (problem !== undefined) throw problem;
	throw unsupported(`${device} of ${name} holds ${recognised?.name ?? "no file system that is known"}`, {
		file: name,
		hint: "Choose another volume: anyvisor volumes lists them.",
	});
}

/** Of a disk without a system: where only one volume has files, they are meant. */
function onlyVolume(name: string, volumes: readonly MountedVolume[]): GuestTree {
	const devices = deviceNames(volumes);
	const readable = volumes.flatMap((found, i) => (found.filesystem ? [{ found, device: devices[i] ?? "" }] : []));
	const [first] = readable;
	if (first !== undefined && readable.length === 1) return treeOf(name, first.device, first.found);
	const problem = volumes.find((found) => found.problem)?.problem;
	if (first === undefined && problem !== undefined) throw problem;
	if (first === undefined) {
		const held = volumes.map(({ recognised }, i) => `${devices[i]}: ${recognised?.name ?? "nothing known"}`);
		throw unsupported(`No file system that can be read was found on ${name} (${held.join(", ")})`, { file: name });
	}
	throw notFound(`No volume of ${name} holds a system whose files could be meant`, {
		file: name,
		hint: `Say which one: --volume ${readable.map(({ device }) => device).join(" | ")}.`,
	});
}
