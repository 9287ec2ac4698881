// What has been measured, kept in a file from race to race, so that a run that is cut off can be continued.
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

export const defaultState = path.join(
	process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache"),
	"anyvisor",
	"bench-disk.json",
);

/** Runs for so many different sources, peers or inputs are remembered. */
const remembered = 20;

/**
 * The measurements that are valid for the same things.
 *
 * @param file where it is kept; without one it is forgotten. JSON: `{[hash]: {validity, circumstances, races: {[name]: {at, load, note?, contenders}}}}`, the latest last
 * @param validity see circumstances.mjs
 */
export async function stateOf(file, validity) {
	const key = createHash("sha256").update(JSON.stringify(validity)).digest("hex").slice(0, 16);
	let current = (await parsed(file))[key] ?? { validity, races: {} };
	/** Read again each time, for somebody else may measure another revision meanwhile. */
	async function change(by) {
		const { [key]: previous = current, ...others } = await parsed(file);
		current = by(previous);
		if (file === undefined) return;
		const entries = [...Object.entries(others), [key, current]].slice(-remembered);
		await mkdir(path.dirname(file), { recursive: true });
		const whole = `${file}.${process.pid}`;
		await writeFile(whole, `${JSON.stringify(Object.fromEntries(entries), null, "\t")}\n`);
		await rename(whole, file);
	}
	return {
		get races() {
			return current.races;
		},
		get circumstances() {
			return current.circumstances;
		},
		/** Stores a race under its name. */
		store: (name, measured, circumstances) =>
			change(({ races }) => ({ validity, circumstances, races: { ...races, [name]: measured } })),
		/** Removes races by their names. */
		forget: (names) =>
			change((entry) => ({
				...entry,
				races: Object.fromEntries(Object.entries(entry.races).filter(([name]) => !names.includes(name))),
			})),
	};
}

async function parsed(file) {
	if (file === undefined) return {};
	try {
		return JSON.parse(await readFile(file, "utf8"));
	} catch (error) {
		if (error.code === "ENOENT") return {};
		throw new Error(`${file}: ${error.message}`, { cause: error });
	}
}
