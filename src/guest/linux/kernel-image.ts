import { recogniseCodec } from "../../bytes/codec/index.js";
import { damaged, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import { bytes, struct, text, u8, u16, u32, viewOf } from "../../bytes/struct.js";

/**
 * From byte 0x1f1 of an x86 kernel image.
 * https://docs.kernel.org/arch/x86/boot.html#the-real-mode-kernel-header
 */
const SetupHeader = struct("x86 kernel setup header", "little", {
	setupSects: u8,
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
	typeOfLoader: u8,
	loadflags: u8,
	setupMoveSize: u16,
	code32Start: u32,
	ramdiskImage: u32,
	ramdiskSize: u32,
	bootsectKludge: u32,
	heapEndPtr: u16,
	extLoaderVer: u8,
	extLoaderType: u8,
	cmdLinePtr: u32,
	initrdAddrMax: u32,
	kernelAlignment: u32,
	relocatableKernel: u8,
	minAlignment: u8,
	xloadflags: u16,
	cmdlineSize: u32,
	hardwareSubarch: u32,
	hardwareSubarchData: bytes(8),
	/** From the start of the protected-mode code, which follows the setup sectors. */
	payloadOffset: u32,
	payloadLength: u32,
});

const headerAt = 0x1f1;
const SECTOR = 512;
/** The first version of the boot protocol that tells where the payload is: 2.08. */
const WITH_PAYLOAD = 0x0208;
const LARGEST_PAYLOAD = 256 * 2 ** 20;
const LARGEST_KERNEL = 512 * 2 ** 20;
const ELF = [0x7f, 0x45, 0x4c, 0x46];
const longestVersion = 256;

/** The release that a kernel image says it is, as `uname -r` prints it; `undefined` where it does not say. */
export async function readKernelRelease(image: ByteSource): Promise<string | undefined> {
	const head = await readUpTo(image, headerAt, SetupHeader.size);
	if (head.length < SetupHeader.offsets.typeOfLoader) return undefined;
	const { header, kernelVersion } = SetupHeader.parse(padded(head));
	if (header !== "HdrS" || kernelVersion === 0) return undefined;
	const version = await readUpTo(image, kernelVersion + 0x200, longestVersion);
	return /^[\x21-\x7e]+/.exec(String.fromCharCode(...version))?.[0];
}

/** `head` with zeros where the image ends within its header. */
function padded(head: Uint8Array): Uint8Array {
	const whole = new Uint8Array(SetupHeader.size);
	whole.set(head);
	return whole;
}

/**
 * The kernel itself, an ELF file, which an image has inside, compressed.
 *
 * @throws `unsupported` for an image that has none, or compressed in a way that is not known; `damaged`
 */
export async function unpackKernel(image: ByteSource): Promise<Uint8Array> {
	const head = padded(await readUpTo(image, headerAt, SetupHeader.size));
	const { header, version, setupSects, payloadOffset, payloadLength } = SetupHeader.parse(
		head,
		0,
		image.name,
		headerAt,
	);
	// What is 0 means 4, https://docs.kernel.org/arch/x86/boot.html
	const at = ((setupSects || 4) + 1) * SECTOR + payloadOffset;
	if (header !== "HdrS" || version < WITH_PAYLOAD || payloadLength < 16) {
		throw unsupported(`${image.name} is no kernel image that says where its kernel is`, { file: image.name });
	}
	if (payloadLength > LARGEST_PAYLOAD || at + payloadLength > image.size) {
		throw damaged(`${image.name}: its payload of ${payloadLength} bytes is not in it`, {
			file: image.name,
			offset: at,
		});
	}
	const payload = await readBytes(image, at, payloadLength);
	const codec = recogniseCodec(payload);
	if (codec === undefined) {
		throw unsupported(`${image.name}: its kernel is compressed in a way that is not known`, {
			file: image.name,
			offset: at,
		});
	}
	// Whoever packed it put its size at the end, where gzip has it anyway.
	const limit = viewOf(payload).getUint32(payloadLength - 4, true);
	if (limit > LARGEST_KERNEL) {
		throw refused(`${image.name} says that its kernel has ${limit} bytes`, { file: image.name, offset: at });
	}
	const { bytes: kernel } = await codec.decode(payload, { limit, file: image.name, offset: at });
	if (!ELF.every((byte, index) => kernel[index] === byte)) {
		throw unsupported(`${image.name}: its kernel is no ELF file`, { file: image.name, offset: at });
	}
	return kernel;
}
