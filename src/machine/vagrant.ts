import { damaged, notFound, unsupported } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { DescriptorFile } from "./machine.js";

/** What a Vagrant box says of itself. https://developer.hashicorp.com/vagrant/docs/boxes/format */
export interface Box {
	readonly provider: string;
	/** Of libvirt's boxes, the members that are its disks. https://vagrant-libvirt.github.io/vagrant-libvirt/boxes.html */
	readonly disks: readonly string[];
}

/** Its name in every box. */
export const BOX_METADATA = "metadata.json";
const LARGEST = 1 << 20;
const MOST_DISKS = 64;
/** The disk of libvirt's boxes that list none. */
const USUAL_DISK = "box.img";

/** Undefined where `file` is something else of that name. */
export function readBox(file: DescriptorFile): Box | undefined {
	if (file.bytes.length > LARGEST) return undefined;
	let document: unknown;
	try {
		document = JSON.parse(new TextDecoder().decode(file.bytes));
	} catch {
		return undefined;
	}
	const { provider, disks } = (document ?? {}) as Readonly<Record<string, unknown>>;
	if (typeof provider !== "string") return undefined;
	if (disks === undefined) return { provider, disks: [USUAL_DISK] };
	if (!Array.isArray(disks) || disks.length === 0 || disks.length > MOST_DISKS) throw badDisks(file.name);
	return {
		provider,
		disks: disks.map((disk: unknown) => {
			const { path } = (disk ?? {}) as Readonly<Record<string, unknown>>;
			if (typeof path !== "string") throw badDisks(file.name);
			return path;
		}),
	};
}

const badDisks = (file: string) =>
	damaged(`${file} has no list of disks that could be one (1 to ${MOST_DISKS}, each with a path)`, { file });

/** How the descriptors of providers other than libvirt are named. */
const DESCRIPTORS: Readonly<Record<string, RegExp>> = wordsOf({
	virtualbox: /\.ovf$/i,
	vmware: /\.vmx$/i,
	hyperv: /(?:\.vmcx|(?:^|\/)box\.xml|(?:^|\/)Virtual Machines\/[^/]*\.xml)$/i,
});

/** The member that describes a box's machine; undefined where it has only disks. */
export function boxDescriptor({ provider }: Box, members: readonly string[], box: string): string | undefined {
	if (provider === "libvirt") return undefined;
	// vmware_desktop, vmware_fusion, vmware_workstation
	const pattern = DESCRIPTORS[provider.replace(/^vmware_.*/, "vmware")];
	if (pattern === undefined) {
		throw unsupported(`${box} is a Vagrant box for ${JSON.stringify(provider.slice(0, 40))}, which is not read`, {
			file: box,
			hint: `Name the disk image in it, as in ${box}:MEMBER.`,
		});
	}
	const [found, ...others] = members.filter((name) => pattern.test(name));
	if (found !== undefined && others.length === 0) return found;
	if (found === undefined)
		throw notFound(`${box} is a Vagrant box for ${provider} without its descriptor`, { file: box });
	throw damaged(`${box} has ${others.length + 1} descriptors: ${[found, ...others].slice(0, 8).join(", ")}`, {
		file: box,
	});
}
