import { aliasIndex } from "../device/alias-index.js";
import { modaliasOf } from "../device/modalias.js";
import type { LinuxKernel } from "../guest/guest.js";
import type { DeviceAddress } from "../hypervisor/hypervisor.js";
import { closure, requirements } from "./closure.js";
import type { DriverState } from "./verdict.js";

/** One driver that a device needs, and where it is. */
export interface Driver {
	/** Null where the kernel has none. */
	readonly module: string | null;
	readonly state: DriverState;
	/**
	 * It lies in the initramfs with all it depends on, but nothing in there loads it: neither its alias index nor a list of
	 * modules to load. Its {@link state} is then `installed`.
	 */
	readonly unindexed?: true;
}

const states: readonly DriverState[] = ["builtin", "initramfs", "installed", "absent"];

/** The later of the two in the order of {@link DriverState}. */
export function worse(one: DriverState, other: DriverState): DriverState {
	return states.indexOf(one) < states.indexOf(other) ? other : one;
}

const none: Driver = { module: null, state: "absent" };

function remembered<K, V>(
	answers: { get(key: K): V | undefined; set(key: K, value: V): unknown },
	key: K,
	find: () => V,
): V {
	const answer = answers.get(key) ?? find();
	answers.set(key, answer);
	return answer;
}

/** Answers for one kernel which driver it has for a device, the way the kernel itself would find it. */
export class KernelDrivers {
	readonly #kernel: LinuxKernel;
	/** What the initramfs loads without being asked, dependencies included. */
	readonly #forced: ReadonlySet<string>;
	/** Answers so far: hypervisors share most of their devices, and all devices a few modules. */
	readonly #at = new Map<string, Driver>();
	readonly #modules = new Map<string, Driver>();

	constructor(kernel: LinuxKernel) {
		this.#kernel = kernel;
		this.#forced = new Set(requirements([...(kernel.initramfs?.forced ?? [])], kernel.modules).order);
	}

	/** The driver of a device at that address; of several that match, the one that is there earliest in the boot. */
	at(address: DeviceAddress): Driver {
		const modalias = modaliasOf(address);
		return remembered(this.#at, `${modalias} ${address.drivers?.join() ?? "*"}`, () => this.#findAt(address, modalias));
	}

	#findAt(address: DeviceAddress, modalias: string): Driver {
		const { initramfs } = this.#kernel;
		const indexed = new Set(initramfs?.aliases === undefined ? [] : aliasIndex(initramfs.aliases).modules(modalias));
		let best = none;
		for (const module of this.#candidates(address, modalias)) {
			let driver = this.module(module);
			if (driver.state === "initramfs" && !indexed.has(module) && !this.#forced.has(module)) {
				driver = { module, state: "installed", unindexed: true };
			}
			if (best.module === null || states.indexOf(driver.state) < states.indexOf(best.state)) best = driver;
		}
		return best;
	}

	#candidates(address: DeviceAddress, modalias: string): ReadonlySet<string> {
		const { aliases, builtin } = this.#kernel.modules;
		const named = address.drivers;
		const candidates = new Set(named?.filter((module) => builtin.has(module)));
		for (const [pattern, module] of aliasIndex(aliases).matching(modalias)) {
			if (named === undefined || named.includes(module) || !matchesByClass(pattern)) candidates.add(module);
		}
		return candidates;
	}

	/** A module that is loaded by its name, or by the kernel on behalf of another. */
	module(module: string): Driver {
		return remembered(this.#modules, module, () => this.#findModule(module));
	}

	#findModule(module: string): Driver {
		const { modules, initramfs } = this.#kernel;
		if (modules.builtin.has(module)) return { module, state: "builtin" };
		const { order, missing } = requirements([module], modules);
		if (missing.length > 0) return { module: missing.includes(module) ? null : module, state: "absent" };
		const inside = initramfs !== undefined && order.every((one) => initramfs.modules.has(one));
		return { module, state: inside ? "initramfs" : "installed" };
	}

	/** The driver of a file system, `fs-ext4` to the kernel that mounts one. */
	filesystem(type: string): Driver {
		const { aliases, builtin } = this.#kernel.modules;
		const found = aliasIndex(aliases).modules(`fs-${type}`);
		// Before Linux 5.2 no list tells what a built-in module is also called, and ext4 mounts its elders.
		const names = [...found, type, ...(/^ext[23]$/.test(type) ? ["ext4"] : [])];
		const module = names.find((name) => builtin.has(name)) ?? names[0] ?? type;
		return this.module(module);
	}

	/**
	 * Modules to add to the initramfs for those drivers to work, in load order: what is not in it of them and all they
	 * depend on, and what is in it but found by nothing in there, since adding it brings the indexes along.
	 */
	lacking(drivers: readonly Driver[]): string[] {
		const { initramfs, modules: index } = this.#kernel;
		const named = drivers.flatMap(({ module }) => module ?? []);
		const unindexed = new Set(drivers.flatMap(({ module, unindexed }) => (unindexed ? (module ?? []) : [])));
		return closure(named, index).order.filter((one) => unindexed.has(one) || !initramfs?.modules.has(one));
	}
}

const known = new WeakMap<LinuxKernel, KernelDrivers>();

/** The kernel's, with all that was found out before. */
export const driversOf = (kernel: LinuxKernel): KernelDrivers =>
	remembered(known, kernel, () => new KernelDrivers(kernel));

/** A pattern that leaves the device id open: such a driver looks at the class and may still decline. */
function matchesByClass(pattern: string): boolean {
	return /^pci:v[^d]*d\*/.test(pattern);
}
