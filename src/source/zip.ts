import { callbackify } from "node:util";
import type { Entry, RandomAccessReader, ZipFile } from "yauzl";
import { cached } from "../bytes/cache.js";
import { crc32 } from "../bytes/checksum/index.js";
import { type CodecId, codec } from "../bytes/codec/index.js";
import { AnyvisorError, damaged, refused, unsupported } from "../bytes/errors.js";
import { type ByteSource, readUpTo, slice } from "../bytes/source.js";
import type { Spooler } from "./spool.js";

/** https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT section 4.4.5, as far as there is a codec. */
const METHODS: Readonly<Record<number, CodecId>> = { 8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz" };
const STORED = 0;

/** More than any archive with a disk in it has. */
const MOST_MEMBERS = 1 << 16;

/** A file in a zip archive. */
export interface ZipMember {
	/** As the archive has it, hostile or not. */
	readonly name: string;
	readonly type: "file" | "folder";
	/** Bytes of content, as the archive states it. */
	readonly size: number;
	/** The first bytes of the content, up to `length` of them. */
	head(length: number): Promise<Uint8Array>;
	/** Reads a stored member in place, and spools a compressed one. */
	open(spooler: Spooler): Promise<ByteSource>;
}

/**
 * Lists a zip archive, zip64 included. Only its directory is read.
 *
 * @throws `damaged`, `unsupported` for archives in several volumes; `refused` for more than 65,536 members
 */
export async function readZip(archive: ByteSource): Promise<ZipMember[]> {
	const zip = await openZip(archive);
	if (zip.entryCount > MOST_MEMBERS) {
		throw refused(`${archive.name} has ${zip.entryCount} members; archives of more than ${MOST_MEMBERS} are not read`, {
			file: archive.name,
			hint: "Unpack it yourself and name the disk image.",
		});
	}
	const { getFileNameLowLevel } = await yauzl();
	const members: ZipMember[] = [];
	try {
		for await (const entry of zip.eachEntry()) {
			const name = getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, false);
			members.push(new Member(archive, zip, entry, name));
		}
	} catch (error) {
		throw explained(archive, error);
	}
	return members;
}

const yauzl = async () => (await import("yauzl")).default;

async function openZip(archive: ByteSource): Promise<ZipFile> {
	const { fromRandomAccessReaderPromise, RandomAccessReader } = await yauzl();
	// Names are compared and never become paths, so that none needs to be refused.
	const options = { autoClose: false, decodeStrings: false };
	const nearby = cached(archive, { blocks: 16 });
	const reader = new (class extends RandomAccessReader {
		override read(...[buffer, offset, length, position, callback]: Parameters<RandomAccessReader["read"]>): void {
			callbackify(() => nearby.read(position, buffer.subarray(offset, offset + length)))(callback);
		}
	})();
	try {
		return await fromRandomAccessReaderPromise(reader, archive.size, options);
	} catch (error) {
		throw explained(archive, error);
	}
}

/** What yauzl finds wrong are plain errors; what reading finds passes through. */
function explained(archive: ByteSource, error: unknown): AnyvisorError {
	if (error instanceof AnyvisorError) return error;
	const reason = error instanceof Error ? error.message : String(error);
	const about = { file: archive.name, cause: error };
	if (reason.startsWith("strong encryption")) {
		return refused(`${archive.name} is encrypted`, {
			...about,
			hint: "Unpack it with its password and name the result.",
		});
	}
	if (reason.startsWith("multi-disk")) {
		return unsupported(`${archive.name} is a zip archive in several volumes`, {
			...about,
			hint: "Unpack it yourself and name the disk image.",
		});
	}
	return damaged(`${archive.name} is a damaged zip archive: ${reason}`, {
		...about,
		hint: "Copy or download the archive again and compare its checksum with the original's.",
	});
}

class Member implements ZipMember {
	readonly name: string;
	readonly type: ZipMember["type"];
	readonly size: number;
	readonly #archive: ByteSource;
	readonly #zip: ZipFile;
	readonly #entry: Entry;

	constructor(archive: ByteSource, zip: ZipFile, entry: Entry, name: string) {
		this.name = name;
		this.type = name.endsWith("/") ? "folder" : "file";
		this.size = entry.uncompressedSize;
		this.#archive = archive;
		this.#zip = zip;
		this.#entry = entry;
	}

	async head(length: number): Promise<Uint8Array> {
		const head = new Uint8Array(Math.min(length, this.size));
		const content = await this.#content();
		if ("read" in content) return readUpTo(content, 0, head.length);
		let filled = 0;
		for await (const piece of content) {
			const part = piece.subarray(0, head.length - filled);
			head.set(part, filled);
			filled += part.length;
			if (filled === head.length) break;
		}
		return head.subarray(0, filled);
	}

	async open(spooler: Spooler): Promise<ByteSource> {
		const content = await this.#content();
		return "read" in content ? content : spooler.spool(content, this.#shown, this.size);
	}

	get #shown(): string {
		return `${this.#archive.name}:${this.name}`;
	}

	/** The content in place where it is stored, as a stream where it is compressed. */
	async #content(): Promise<ByteSource | AsyncGenerator<Uint8Array>> {
		const { compressionMethod, compressedSize } = this.#entry;
		const file = this.#shown;
		if (this.#entry.isEncrypted()) {
			throw refused(`${file} is encrypted`, { file, hint: "Unpack it with its password and name the result." });
		}
		const id = METHODS[compressionMethod];
		if (compressionMethod !== STORED && id === undefined) {
			throw unsupported(`${file} is compressed with the zip method ${compressionMethod}, which cannot be read`, {
				file,
				hint: "Unpack it yourself and name the disk image.",
			});
		}
		if (!(Number.isSafeInteger(this.size) && Number.isSafeInteger(compressedSize)))
			throw this.#damaged("has no real size");
		const at = await this.#dataStart();
		const stored = slice(this.#archive, at, compressedSize, file);
		return id === undefined ? stored : this.#decoded(id, stored);
	}

	async #dataStart(): Promise<number> {
		try {
			return (await this.#zip.readLocalFileHeaderPromise(this.#entry, { minimal: true })).fileDataStart;
		} catch (error) {
			throw explained(this.#archive, error);
		}
	}

	async *#decoded(id: CodecId, stored: ByteSource): AsyncGenerator<Uint8Array> {
		let length = 0;
		let sum = 0;
		for await (const piece of codec(id).stream(stored, 0)) {
			length += piece.length;
			if (length > this.size) throw this.#damaged(`holds more than the ${this.size} bytes that it states`);
			sum = crc32(piece, sum);
			yield piece;
		}
		if (length < this.size) throw this.#damaged(`holds ${length} bytes instead of the ${this.size} that it states`);
		if (sum !== this.#entry.crc32) throw this.#damaged("does not have the checksum that it states");
	}

	#damaged(what: string): AnyvisorError {
		return damaged(`${this.#shown} ${what}`, {
			file: this.#shown,
			hint: "Copy or download the archive again and compare its checksum with the original's.",
		});
	}
}
