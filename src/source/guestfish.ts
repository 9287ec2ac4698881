import { execFile, spawn } from "node:child_process";
import { access, constants, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { damaged, unsupported } from "../bytes/errors.js";
import { letters } from "../bytes/letters.js";
import type { ByteStore } from "../bytes/source.js";
import { type NbdServer, serveNbd } from "./nbd-server.js";
import { forgetPartial, startScratch } from "./partial.js";

/**
 * One change of a file system, carried out by libguestfs. Paths are absolute in it, with no link on the way; times are
 * seconds since 1970. Owners and rights that are left out stay, or are as the file system has them.
 */
export type FileOperation =
	/** `created` is given where the file is new; otherwise everything but contents and mtime stays. */
	| {
			readonly kind: "write";
			readonly path: string;
			readonly contents: Uint8Array;
			readonly mtime: number;
			readonly created?: Rights;
	  }
	/** At byte `at`, the end of the file. */
	| {
			readonly kind: "append";
			readonly path: string;
			readonly contents: Uint8Array;
			readonly mtime: number;
			readonly at: number;
	  }
	| ({ readonly kind: "folder"; readonly path: string; readonly mtime: number } & Rights)
	| ({ readonly kind: "link"; readonly path: string; readonly target: string } & Omit<Given, "mode">)
	| { readonly kind: "rename"; readonly path: string; readonly to: string }
	/** `folder`: an empty one. */
	| { readonly kind: "remove"; readonly path: string; readonly folder: boolean }
	/** `file`: whether it is a regular one; a link has no mode. */
	| ({ readonly kind: "attributes"; readonly path: string; readonly file: boolean } & Given)
	/** The value has no NUL but one at its end. */
	| { readonly kind: "extended"; readonly path: string; readonly name: string; readonly value: Uint8Array }
	| { readonly kind: "unset"; readonly path: string; readonly name: string };

interface Rights {
	readonly mode?: number;
	readonly uid?: number;
	readonly gid?: number;
}
interface Given extends Rights {
	readonly mtime?: number;
}

/** A file system, by itself in its store, and what is to be done with it, in order. */
export interface FilesystemJob {
	readonly store: ByteStore;
	/** As for mount(8), without spaces or commas inside: `subvolid=256`. Jobs on one store each have their own. */
	readonly mountOptions?: string | undefined;
	/** A path that nothing has, for a file in passing. */
	readonly scratch: string;
	readonly operations: readonly FileOperation[];
}

/** An appliance boots in 4 s with KVM and in 45 s without; this is for a machine that is busy with other things, too. */
const TIMEOUT = 15 * 60_000;
const PROBE_TIMEOUT = 20_000;

const INSTALL =
	"Install libguestfs (Debian and Ubuntu: apt-get install libguestfs-tools; Fedora: dnf install guestfs-tools).";

async function hasGuestfish(): Promise<boolean> {
	return (await promisify(execFile)("guestfish", ["--version"]).catch(() => undefined)) !== undefined;
}

/**
 * Edits file systems with their own kernel drivers, in one run of libguestfs' appliance: a virtual machine of its own.
 * Nothing of a guest is run. The stores are handed to it through sockets; where it fails, they are in an undefined state.
 *
 * @throws `unsupported` where libguestfs is missing, `damaged` where a file system cannot be mounted or changed
 */
export async function editByGuestfish(jobs: readonly FilesystemJob[]): Promise<void> {
	if (!(await hasGuestfish())) {
		throw unsupported("Editing this guest's file systems needs guestfish, which is not installed here", {
			hint: INSTALL,
		});
	}
	const folder = await mkdtemp(path.join(tmpdir(), "anyvisor-edit-"));
	startScratch(folder);
	const servers: NbdServer[] = [];
	try {
		const drives: string[] = [];
		// Each once: two devices with one file system on them would not be told apart.
		const stores = [...new Set(jobs.map(({ store }) => store))];
		for (const [i, store] of stores.entries()) {
			const socket = path.join(folder, `disk-${i}`);
			servers.push(await serveNbd(store, socket));
			drives.push(`add-drive "" format:raw protocol:nbd ${quoted(`server:unix:${socket}`)}`);
		}
		const changes = await changesOf(jobs, stores, folder);
		const names = stores.map(({ name }) => name).join(", ");
		const running = runGuestfish([...drives, "run", ...changes, "shutdown"].join("\n"), folder, names);
		const outcome = await running.catch((error: Error) => error);
		// The appliance only learns that something went wrong, and may even carry on.
		const failure = servers.flatMap(({ failures }) => failures)[0] ?? outcome;
		if (failure !== undefined) throw failure;
	} finally {
		for (const server of servers) await server[Symbol.asyncDispose]();
		await rm(folder, { recursive: true, force: true });
		forgetPartial(folder);
	}
}

/** Commands for one file system after the other, each mounted as it is edited; what is to be written lies in `folder`. */
async function changesOf(
	jobs: readonly FilesystemJob[],
	stores: readonly ByteStore[],
	folder: string,
): Promise<readonly string[]> {
	const commands: string[] = [];
	let files = 0;
	const fileOf = async (contents: Uint8Array) => {
		const file = path.join(folder, `file-${files++}`);
		await writeFile(file, contents);
		return file;
	};
	for (const { store, mountOptions = "", scratch, operations } of jobs) {
		commands.push(`mount-options ${quoted(mountOptions)} /dev/sd${letters(stores.indexOf(store))} /`);
		for (const operation of operations) commands.push(...(await commandsOf(operation, fileOf, quoted(scratch))));
		commands.push("umount /");
	}
	return commands;
}

async function commandsOf(
	operation: FileOperation,
	fileOf: (contents: Uint8Array) => Promise<string>,
	scratch: string,
): Promise<readonly string[]> {
	const file = quoted(operation.path);
	/**
	 * The kernel takes setuid bits and capabilities off a regular file that gets a new owner, and capabilities off one that
	 * is written. A file in passing keeps them, as guestfish has no variables, and no words with a NUL.
	 */
	const keeping = (commands: readonly string[]) => [
		`touch ${scratch}`,
		`copy-attributes ${file} ${scratch} mode:true xattributes:true`,
		...commands,
		`copy-attributes ${scratch} ${file} mode:true xattributes:true`,
		`rm ${scratch}`,
	];
	switch (operation.kind) {
		case "folder":
			return [`mkdir ${file}`, ...attributesOf(file, operation)];
		case "link":
			return [`ln-s ${quoted(operation.target)} ${file}`, ...attributesOf(file, operation)];
		case "rename":
			return [`rename ${file} ${quoted(operation.to)}`];
		case "remove":
			return [`${operation.folder ? "rmdir" : "rm"} ${file}`];
		case "attributes": {
			const { uid, gid, ...rest } = operation;
			const owner = attributesOf(file, { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) });
			const kept = operation.file && owner.length > 0 ? keeping(owner) : owner;
			return [...kept, ...attributesOf(file, rest)];
		}
		case "extended": {
			// A NUL at the end is the one that ends the word, and counts.
			const text = operation.value.at(-1) === 0 ? operation.value.subarray(0, -1) : operation.value;
			return [`lsetxattr ${quoted(operation.name)} ${quoted(text)} ${operation.value.length} ${file}`];
		}
		case "unset":
			return [`lremovexattr ${quoted(operation.name)} ${file}`];
		case "append":
		case "write": {
			const local = await fileOf(operation.contents);
			const { mtime } = operation;
			if (operation.kind === "append") {
				return keeping([`upload-offset ${local} ${file} ${operation.at}`, ...attributesOf(file, { mtime })]);
			}
			const { created } = operation;
			const commands = [`upload ${local} ${file}`, ...attributesOf(file, { ...created, mtime })];
			return created ? commands : keeping(commands);
		}
	}
}

/** -1 leaves an owner as it is, -2 the time of the last access. */
function attributesOf(file: string, { mode, uid = -1, gid = -1, mtime }: Given) {
	const seconds = Math.floor(mtime ?? 0);
	return [
		...(uid < 0 && gid < 0 ? [] : [`lchown ${uid} ${gid} ${file}`]),
		...(mode === undefined ? [] : [`chmod 0${mode.toString(8)} ${file}`]),
		...(mtime === undefined ? [] : [`utimens ${file} 0 -2 ${seconds} ${Math.floor((mtime - seconds) * 1e9)}`]),
	];
}

/** A word of guestfish's language, in which only letters, digits, `/`, `.`, `_` and `-` mean themselves everywhere. */
function quoted(word: string | Uint8Array): string {
	const escaped = [...(typeof word === "string" ? new TextEncoder().encode(word) : word)].map((byte) => {
		const letter = String.fromCharCode(byte);
		return /[\w/.-]/.test(letter) ? letter : `\\x${byte.toString(16).padStart(2, "0")}`;
	});
	return `"${escaped.join("")}"`;
}

async function runGuestfish(script: string, folder: string, names: string): Promise<undefined> {
	const child = spawn("guestfish", [], {
		stdio: ["pipe", "ignore", "pipe"],
		timeout: TIMEOUT,
		env: { ...process.env, ...(await accelerator()), TMPDIR: folder, LIBGUESTFS_BACKEND: "direct" },
	});
	// A signal ends this process at once, and the appliance has nobody to work for then.
	const kill = () => void child.kill();
	process.once("exit", kill);
	child.once("close", () => process.off("exit", kill));
	let said = "";
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		said = (said + text).slice(-4000);
	});
	child.stdin.on("error", () => undefined);
	child.stdin.end(`${script}\n`);
	const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (...how) => resolve(how));
	});
	if (code === 0) return undefined;
	const reason = signal === null ? said.trim() : `it was stopped by ${signal}`;
	throw damaged(`libguestfs could not edit ${names}: ${reason}`, {
		file: names,
		hint: "See whether libguestfs works at all on this computer: libguestfs-test-tool.",
	});
}

/** KVM where it runs the appliance: that the device exists says little, as under some hypervisors it runs nothing. */
async function accelerator(): Promise<NodeJS.ProcessEnv> {
	if (process.env["LIBGUESTFS_BACKEND_SETTINGS"] !== undefined) return {};
	const emulated = { LIBGUESTFS_BACKEND_SETTINGS: "force_tcg" };
	const accessible = await access("/dev/kvm", constants.R_OK | constants.W_OK).then(
		() => true,
		() => false,
	);
	if (!accessible) return emulated;
	const works = await promisify(execFile)("guestfish", ["--ro", "--add", "/dev/null", "run"], {
		timeout: PROBE_TIMEOUT,
		env: { ...process.env, LIBGUESTFS_BACKEND: "direct" },
	}).then(
		() => true,
		() => false,
	);
	return works ? {} : emulated;
}
