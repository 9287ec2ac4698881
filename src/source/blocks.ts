import { getSystemErrorMap } from "node:util";
import { type NativeFunction, type NativeLibrary, processLibrary } from "../bytes/codec/node/native.js";
import { errnoName } from "./failure.js";

// What Linux can do with a file's blocks and Node has no function for. macOS clones whole files only.

/** `_IOW(0x94, 13, struct file_clone_range)`: https://man7.org/linux/man-pages/man2/ioctl_ficlonerange.2.html */
const FICLONERANGE = 0x4020_940d;
/** Shorter calls cost less than handing them to another thread; longer ones may wait for the disk. */
const BRIEF = 1 << 20;
const EINTR = "EINTR";

interface Kernel {
	readonly library: NativeLibrary;
	readonly ioctl: NativeFunction;
	readonly fallocate: NativeFunction;
}

let kernel: Promise<Kernel | undefined> | undefined;

async function loadKernel(): Promise<Kernel | undefined> {
	const library = process.platform === "linux" ? await processLibrary() : undefined;
	return (
		library && {
			library,
			ioctl: library.func("int ioctl(int fd, unsigned long request, uint8_t *argument)"),
			fallocate: library.func("int fallocate(int fd, int mode, int64_t offset, int64_t len)"),
		}
	);
}

/** An answer of the kernel that is not success: `code` is the name of the errno. */
export interface KernelError extends Error {
	readonly code: string;
}

/** A part of an open file, in bytes. */
export interface FileRange {
	readonly fd: number;
	readonly at: number;
}

/**
 * Makes `length` bytes of `target` share the blocks of `source`.
 *
 * @returns why not; `unavailable` where there is no such call
 */
export async function cloneBlocks(
	source: FileRange,
	target: FileRange,
	length: number,
): Promise<KernelError | "unavailable" | undefined> {
	kernel ??= loadKernel();
	const loaded = await kernel;
	if (loaded === undefined) return "unavailable";
	// struct file_clone_range: src_fd, src_offset, src_length, dest_offset
	const range = BigUint64Array.of(BigInt(source.fd), BigInt(source.at), BigInt(length), BigInt(target.at));
	const values = [target.fd, FICLONERANGE, new Uint8Array(range.buffer)];
	return call(loaded, loaded.ioctl, values, length < BRIEF);
}

/** Reserves the blocks of a file's first `size` bytes. Answers as {@link cloneBlocks} does. */
export async function reserveBlocks(fd: number, size: number): Promise<KernelError | "unavailable" | undefined> {
	kernel ??= loadKernel();
	const loaded = await kernel;
	if (loaded === undefined) return "unavailable";
	return call(loaded, loaded.fallocate, [fd, 0, 0, size], false);
}

/** Calls that may be repeated: errno belongs to a thread, so what failed on another one is asked again on this. */
async function call(
	{ library }: Kernel,
	func: NativeFunction,
	values: readonly (number | Uint8Array)[],
	brief: boolean,
): Promise<KernelError | undefined> {
	if (!brief && Number(await func.inBackground(values)) === 0) return undefined;
	for (;;) {
		if (Number(func(...values)) === 0) return undefined;
		const error = kernelError(library.errno());
		if (error.code !== EINTR) return error;
	}
}

/** In the form of Node's own. */
function kernelError(errno: number): KernelError {
	const [code, message] = getSystemErrorMap().get(-errno) ?? [errnoName(errno), ""];
	const text = message === "" ? `Unknown system error ${-errno}` : `${code}: ${message}`;
	return Object.assign(new Error(text), { code, errno: -errno });
}
