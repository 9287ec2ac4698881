import { createReadStream } from "node:fs";
import { AnyvisorError } from "../bytes/errors.js";

/** Where the keys of encrypted volumes come from. They are never words of a command, which everybody on a system sees. */
export interface KeyOptions {
	/** Each file is a key, byte for byte. */
	readonly keyFile?: readonly string[];
	/** Each descriptor gives a passphrase, which ends with its first line. */
	readonly keyFd?: readonly number[];
}

/** As cryptsetup has it. */
const LONGEST = 8 << 20;
const NEWLINE = 0x0a;

export async function readKeys({ keyFile = [], keyFd = [] }: KeyOptions): Promise<readonly Uint8Array[]> {
	const keys: Uint8Array[] = [];
	for (const file of keyFile) keys.push(await readKey({ path: file, name: file }));
	for (const fd of keyFd) {
		const read = await readKey({ path: "", name: `the descriptor ${fd}`, fd });
		const end = read.indexOf(NEWLINE);
		keys.push(end < 0 ? read : read.subarray(0, end));
	}
	if (keys.every(({ length }) => length > 0)) return keys;
	throw new AnyvisorError("usage", "A key is empty", {
		hint: "Write the passphrase to the descriptor: anyvisor volumes vm.raw --key-fd 3 3< <(pass show vm).",
	});
}

async function readKey({ path, name, fd }: { path: string; name: string; fd?: number }): Promise<Uint8Array> {
	const pieces: Buffer[] = [];
	let length = 0;
	try {
		// A descriptor is the caller's, and stays open.
		const stream = createReadStream(path, fd === undefined ? {} : { fd, autoClose: false });
		for await (const piece of stream as AsyncIterable<Buffer>) {
			pieces.push(piece);
			length += piece.length;
			if (length > LONGEST) break;
		}
	} catch (cause) {
		throw new AnyvisorError("usage", `The key cannot be read from ${name}: ${(cause as Error).message}`, { cause });
	}
	if (length > LONGEST) throw new AnyvisorError("usage", `${name} is longer than a key can be (8 MiB)`);
	return Buffer.concat(pieces);
}
