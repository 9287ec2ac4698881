import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { bytes, struct, text, u16, u32 } from "../../bytes/struct.js";

/**
 * From byte 0x1f1 of an x86 kernel image.
 * https://docs.kernel.org/arch/x86/boot.html#the-real-mode-kernel-header
 */
const SetupHeader = struct("x86 kernel setup header", "little", {
	setupSects: bytes(1),
	rootFlags: u16,
	syssize: u32,
	ramSize: u16,
	vidMode: u16,
	rootDev: u16,
	bootFlag: u16,
	jump: u16,
	header: text(4),
	version: u16,
	realmodeSwtch: u32,
	startSysSeg: u16,
	/** Where the version's text is, less 0x200. */
	kernelVersion: u16,
});

const headerAt = 0x1f1;
const longestVersion = 256;

/** The release that a kernel image says it is, as `uname -r` prints it; `undefined` where it does not say. */
export async function readKernelRelease(image: ByteSource): Promise<string | undefined> {
	const head = await readUpTo(image, headerAt, SetupHeader.size);
	if (head.length < SetupHeader.size) return undefined;
	const { header, kernelVersion } = SetupHeader.parse(head);
	if (header !== "HdrS" || kernelVersion === 0) return undefined;
	const version = await readUpTo(image, kernelVersion + 0x200, longestVersion);
	return /^[\x21-\x7e]+/.exec(String.fromCharCode(...version))?.[0];
}
