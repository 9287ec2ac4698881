import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { type ByteSource, isStore } from "../bytes/source.js";
import {
	COMMAND,
	ERROR,
	EXPORT_ZEROES,
	ExportInfo,
	ExportReply,
	GREETING_MAGIC,
	Greeting,
	HANDSHAKE,
	INFO_EXPORT,
	OPTION,
	OPTION_MAGIC,
	OPTION_REPLY,
	OPTION_REPLY_MAGIC,
	OptionReply,
	OptionRequest,
	REPLY_MAGIC,
	REQUEST_MAGIC,
	Reply,
	Request,
	TRANSMISSION,
} from "./nbd-layout.js";

/** What every client and server takes at least, and QEMU asks for at most. */
const LARGEST = 32 << 20;
/** Longer than any option that a client sends: an export's name has 4096 bytes at most. */
const LONGEST_OPTION = 8192;

/** Disks that another program on this computer reads and, where they are stores, writes. */
export interface NbdServer extends AsyncDisposable {
	/** What went wrong while serving: the client only learns that something did. */
	readonly failures: readonly Error[];
}

/**
 * Serves `source` at a Unix socket, under any export name, to one client after the other or several at once.
 *
 * @param path of the socket, which must not exist; whoever may open it may read the source
 */
export async function serveNbd(source: ByteSource, path: string): Promise<NbdServer> {
	const failures: Error[] = [];
	const sockets = new Set<Socket>();
	const server = createServer((socket) => {
		sockets.add(socket);
		socket.on("close", () => sockets.delete(socket));
		// A client that goes away takes its connection along; there is nobody left to tell.
		socket.on("error", () => socket.destroy());
		void new Connection(source, socket, failures).run().finally(() => socket.destroy());
	});
	await listening(server, path);
	return {
		failures,
		async [Symbol.asyncDispose]() {
			for (const socket of sockets) socket.destroy();
			server.close();
			await once(server, "close");
		},
	};
}

async function listening(server: Server, path: string): Promise<void> {
	server.listen(path);
	await once(server, "listening");
}

class Connection {
	readonly #source: ByteSource;
	readonly #socket: Socket;
	readonly #failures: Error[];
	readonly #incoming: AsyncIterator<Buffer>;
	#buffered: Buffer = Buffer.alloc(0);

	constructor(source: ByteSource, socket: Socket, failures: Error[]) {
		this.#source = source;
		this.#socket = socket;
		this.#failures = failures;
		this.#incoming = socket[Symbol.asyncIterator]();
	}

	/** Until the client leaves, or says what no client would. */
	async run(): Promise<void> {
		try {
			if (await this.#negotiate()) while (await this.#serve());
		} catch (error) {
			if (!(error instanceof Gone)) this.#failures.push(error as Error);
		}
	}

	/** @returns whether the client wants the disk */
	async #negotiate(): Promise<boolean> {
		const flags = HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes;
		await this.#send(Greeting.build({ magic: GREETING_MAGIC, optionMagic: OPTION_MAGIC, flags }));
		const spared = ((await this.#take(4)).readUInt32BE() & HANDSHAKE.noZeroes) !== 0;
		for (;;) {
			const { magic, option, length } = OptionRequest.parse(await this.#take(OptionRequest.size));
			if (magic !== OPTION_MAGIC || length > LONGEST_OPTION) return false;
			await this.#take(length);
			const size = this.#source.size;
			if (option === OPTION.exportName) {
				await this.#send(ExportReply.build({ size, flags: this.#flags }), Buffer.alloc(spared ? 0 : EXPORT_ZEROES));
				return true;
			}
			if (option === OPTION.go || option === OPTION.info) {
				const info = ExportInfo.build({ type: INFO_EXPORT, size, flags: this.#flags });
				await this.#answer(option, OPTION_REPLY.info, info);
				await this.#answer(option, OPTION_REPLY.ack);
				if (option === OPTION.go) return true;
			} else if (option === OPTION.abort) {
				await this.#answer(option, OPTION_REPLY.ack);
				return false;
			} else await this.#answer(option, OPTION_REPLY.unsupported);
		}
	}

	get #flags(): number {
		const { hasFlags, readOnly, sendFlush, sendWriteZeroes } = TRANSMISSION;
		return hasFlags | (isStore(this.#source) ? sendFlush | sendWriteZeroes : readOnly);
	}

	#answer(option: number, type: number, data: Uint8Array = new Uint8Array()): Promise<void> {
		const reply = OptionReply.build({ magic: OPTION_REPLY_MAGIC, option, type, length: data.length });
		return this.#send(reply, data);
	}

	/** Carries out one request. @returns whether there may be another one */
	async #serve(): Promise<boolean> {
		const { magic, type, cookie, offset, length } = Request.parse(await this.#take(Request.size));
		if (magic !== REQUEST_MAGIC || type === COMMAND.disconnect) return false;
		// What cannot be taken in cannot be skipped either.
		if (type === COMMAND.write && length > LARGEST) return false;
		const data = type === COMMAND.write ? await this.#take(length) : undefined;
		let answer = new Uint8Array();
		let error: number = ERROR.none;
		try {
			if (type === COMMAND.read) answer = await this.#read(offset, length);
			else if (type === COMMAND.write || type === COMMAND.writeZeroes) error = await this.#write(offset, length, data);
			else if (type !== COMMAND.flush) error = ERROR.invalid;
		} catch (failure) {
			this.#failures.push(failure as Error);
			error = ERROR.io;
		}
		await this.#send(
			Reply.build({ magic: REPLY_MAGIC, error, cookie }),
			error === ERROR.none ? answer : new Uint8Array(),
		);
		return true;
	}

	async #read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
		if (length > LARGEST) throw new RangeError(`a client asks for ${length} bytes at once`);
		const bytes = new Uint8Array(length);
		await this.#source.read(offset, bytes);
		return bytes;
	}

	/** Zeroes where there is no `data`. */
	async #write(offset: number, length: number, data: Uint8Array | undefined): Promise<number> {
		const source = this.#source;
		if (!isStore(source)) return ERROR.permission;
		if (data !== undefined) await source.write(offset, data);
		else {
			for (let done = 0; done < length; done += LARGEST) {
				await source.write(offset + done, new Uint8Array(Math.min(LARGEST, length - done)));
			}
		}
		return ERROR.none;
	}

	async #take(length: number): Promise<Buffer> {
		const parts = [this.#buffered];
		let have = this.#buffered.length;
		while (have < length) {
			const next = await this.#incoming.next();
			if (next.done === true) throw new Gone();
			parts.push(next.value);
			have += next.value.length;
		}
		const all = parts.length === 1 ? this.#buffered : Buffer.concat(parts);
		this.#buffered = all.subarray(length);
		return all.subarray(0, length);
	}

	async #send(...parts: readonly Uint8Array[]): Promise<void> {
		// Called when it is on its way, and when there is nobody left to send it to.
		await new Promise((done) => this.#socket.write(Buffer.concat(parts), done));
	}
}

/** The client has ended the connection. */
class Gone extends Error {}
