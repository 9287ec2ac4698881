import { createRequire } from "node:module";
import type * as Koffi from "koffi";

/** A function of a native library. Arguments: numbers, pointers (bigint), and arrays of bytes, which it may fill. */
export interface NativeFunction {
	(...values: readonly NativeValue[]): NativeValue;
	/**
	 * Calls it on a thread of libuv's pool. The arrays must not be touched before the promise resolves.
	 *
	 * @param pointedAt arrays that the function reaches by their {@link NativeLibrary.address}
	 */
	inBackground(values: readonly NativeValue[], pointedAt?: readonly Uint8Array[]): Promise<NativeValue>;
}

export type NativeValue = number | bigint | string | Uint8Array | BigUint64Array | null;

export interface NativeLibrary {
	/** @param definition as in C: `size_t ZSTD_compressBound(size_t size)` */
	func(definition: string): NativeFunction;
	/** Where the bytes of `array` lie: as long as something refers to the array, of which an address is no part. */
	address(array: Uint8Array): bigint;
	/** What the last call on this thread left in errno. */
	errno(): number;
}

/**
 * Opens a library of this system through koffi, an optional dependency; undefined where either is missing, where
 * pointers are not 64 bits wide (the layouts that we hand over say so), or where the environment has ANYVISOR_NATIVE=0.
 */
export const systemLibrary = (...names: readonly string[]): Promise<NativeLibrary | undefined> => load(names);

/** The libraries that this process has loaded anyway, the C library among them. */
export const processLibrary = (): Promise<NativeLibrary | undefined> => load([null]);

async function load(names: readonly (string | null)[]): Promise<NativeLibrary | undefined> {
	if (process.env["ANYVISOR_NATIVE"] === "0") return undefined;
	try {
		// import() would start Node's loader of ES modules, which the bundled command line does without: 12 ms.
		const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
		if (koffi.sizeof("void *") !== 8) return undefined;
		for (const name of names) {
			try {
				const library = koffi.load(name);
				return {
					func: (definition) => wrap(library.func(definition)),
					address: (array) => koffi.address(array),
					errno: () => koffi.errno(),
				};
			} catch {
				// Not under this name.
			}
		}
	} catch {
		// koffi is not installed, or not made for this platform.
	}
	return undefined;
}

interface KoffiFunction {
	(...values: readonly NativeValue[]): NativeValue;
	async(...values: readonly unknown[]): void;
}

/** What native code is working on. A variable that is not used any more does not keep its array from being collected. */
const inUse = new Set<readonly unknown[]>();

function wrap(call: KoffiFunction): NativeFunction {
	const start = (values: readonly NativeValue[], pointedAt: readonly Uint8Array[]) =>
		new Promise<NativeValue>((resolve, reject) => {
			const arrays = [values, pointedAt];
			inUse.add(arrays);
			call.async(...values, (error: Error | null, result: NativeValue) => {
				inUse.delete(arrays);
				if (error === null) resolve(result);
				else reject(error);
			});
		});
	return Object.assign((...values: readonly NativeValue[]) => call(...values), {
		inBackground: (values: readonly NativeValue[], pointedAt: readonly Uint8Array[] = []) =>
			calls.use(() => start(values, pointedAt)),
	});
}

/**
 * Native contexts that are kept for reuse. At most `size` are in use at a time; further users wait their turn.
 */
export class Pool<T> {
	readonly #make: () => T;
	readonly #idle: T[] = [];
	readonly #waiting: ((item: T) => void)[] = [];
	#room: number;

	constructor(size: number, make: () => T) {
		this.#room = size;
		this.#make = make;
	}

	async use<R>(work: (item: T) => Promise<R>): Promise<R> {
		const item = await this.#take();
		try {
			return await work(item);
		} finally {
			const next = this.#waiting.shift();
			if (next === undefined) this.#idle.push(item);
			else next(item);
		}
	}

	#take(): T | Promise<T> {
		if (this.#idle.length > 0) return this.#idle.pop() as T;
		if (this.#room === 0) return new Promise((resolve) => this.#waiting.push(resolve));
		this.#room--;
		return this.#make();
	}
}

/** koffi refuses more than 256 calls under way. */
const calls = new Pool(128, () => true);

/** A context that a library has made; it is out of memory when it makes none. */
export function pointer(value: NativeValue): bigint {
	if (typeof value !== "bigint") throw new RangeError("a native library is out of memory");
	return value;
}

/** As many as libuv's pool has threads by default; more would only wait there. */
export const THREADS = 4;
