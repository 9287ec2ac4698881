// The machine, and what runs on it.
import { createHash } from "node:crypto";
import { readdirSync, statfsSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { command } from "../../scripts/command.mjs";
import { run } from "./measure.mjs";

/** Node reads it at each start, which with all certificates of a system takes 50 ms: as long as the rest of its start. */
delete process.env.NODE_EXTRA_CA_CERTS;

/** To be increased when measurements made before can no longer be compared with those made now. */
const method = 2;

const first = async (command, ...args) => (await run(command, args)).split("\n")[0].trim();

/**
 * What a measurement is valid for: anything else is measured again.
 *
 * @returns `{method, revision, source, peer, node, input, outputs}`; `source` are the sources themselves, commit or not
 */
export async function validity({ folder, input, quick }) {
	const newest = Math.max(...files("src").map((file) => statSync(file).mtimeMs));
	const built = statSync(command, { throwIfNoEntry: false })?.mtimeMs ?? 0;
	if (built < newest) throw new Error("dist/ is older than src/: npm run build");
	const changes =
		(await run("git", ["status", "--porcelain", "--", "src"])) + (await run("git", ["diff", "HEAD", "--", "src"]));
	const dirty = changes === "" ? "" : `+${createHash("sha256").update(changes).digest("hex").slice(0, 12)}`;
	return {
		method,
		source: (await first("git", "rev-parse", "HEAD:src")) + dirty,
		peer: await first("qemu-img", "--version"),
		node: process.version,
		input: input ? disk(input) : `test guest ${await first("node", "scripts/guest/build.mjs", "--print-key")}`,
		outputs: (await run("df", ["--output=fstype", folder])).trim().split("\n").at(-1),
		...(quick && { quick }),
	};
}

const files = (folder) =>
	readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => path.join(entry.parentPath, entry.name));

function disk(file) {
	const { size, mtimeMs } = statSync(file);
	return `${path.resolve(file)}, ${size} bytes of ${new Date(mtimeMs).toISOString()}`;
}

/** For people: lines of `[what, value]`, without what {@link validity} has. */
export async function circumstances() {
	const processors = os.cpus();
	const { codecReport } = await import("../../dist/bytes/index.js");
	const codecs = (await codecReport()).filter(({ codec }) => codec === "deflate" || codec === "zstd");
	return {
		Anyvisor: await first("git", "rev-parse", "--short", "HEAD"),
		machine: `${processors.length} × ${processors[0]?.model.trim()}, ${Math.round(os.totalmem() / 2 ** 20)} MiB`,
		system: `${os.type()} ${os.release()} ${os.arch()}`,
		codecs: codecs.map(({ codec, implementation }) => `${codec}: ${implementation}`).join("; "),
	};
}

/** Bytes that can still be written to a folder. */
export function free(folder) {
	const { bavail, bsize } = statfsSync(folder);
	return bavail * bsize;
}
