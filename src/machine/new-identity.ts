import type { Machine, MachineNic } from "./machine.js";

/**
 * How the MACs of a platform begin, and the largest value of the byte that follows. VMware takes addresses that were not
 * its own choice from 00:50:56:00 to 3f only; Xen's own tools keep the highest bit of the byte clear.
 * https://techdocs.broadcom.com/us/en/vmware-cis/vsphere/vsphere/8-0/vsphere-networking-8-0/mac-addresses.html
 */
const PREFIXES: Readonly<Record<string, { readonly begin: readonly number[]; readonly most: number }>> = {
	vmware: { begin: [0x00, 0x50, 0x56], most: 0x3f },
	xen: { begin: [0x00, 0x16, 0x3e], most: 0x7f },
	virtualbox: { begin: [0x08, 0x00, 0x27], most: 0xff },
	hyperv: { begin: [0x00, 0x15, 0x5d], most: 0xff },
};
/** Locally administered, as QEMU's and libvirt's own. */
const ANYWHERE = { begin: [0x52, 0x54, 0x00], most: 0xff };

/** New MACs and a new UUID for a machine, of each platform's own kind, and the same whenever they are asked for. */
export class NewIdentity {
	/** For the ids of the disks' files. */
	readonly salt: string = crypto.randomUUID();
	readonly #uuids = new Map<string, string>();
	readonly #macs = new Map<string, string[]>();
	readonly #given = new Set<string>();

	/** @param platform {@link Hypervisor.family} */
	of(platform: string, machine: Machine): Machine {
		const uuid = this.#uuids.get(platform) ?? crypto.randomUUID();
		this.#uuids.set(platform, uuid);
		const macs = this.#macs.get(platform) ?? [];
		this.#macs.set(platform, macs);
		const old = new Set(machine.nics.flatMap(({ mac }) => mac ?? []));
		while (macs.length < machine.nics.length) macs.push(this.#newMac(platform, old));
		const nics = machine.nics.map((nic, index): MachineNic => ({ ...nic, mac: macs[index] ?? "" }));
		return { ...machine, uuid, nics };
	}

	#newMac(platform: string, old: ReadonlySet<string>): string {
		const { begin, most } = PREFIXES[platform] ?? ANYWHERE;
		for (;;) {
			const [first = 0, ...others] = crypto.getRandomValues(new Uint8Array(3));
			const bytes = [...begin, first & most, ...others];
			const mac = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
			if (old.has(mac) || this.#given.has(mac)) continue;
			this.#given.add(mac);
			return mac;
		}
	}
}
