import { AnyvisorError } from "../../src/bytes/errors.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";

/** Looks at everything, but not without end: what leads in a circle is left after a while, and files are only begun. */
export async function explore(filesystem: Filesystem): Promise<void> {
	const pending = ["/"];
	for (let visits = 0; visits < 30; visits++) {
		const folder = pending.shift();
		if (folder === undefined) return;
		const entries = await tolerate(filesystem.list(folder));
		for (const { name } of (entries ?? []).slice(0, 60)) {
			const at = `${folder === "/" ? "" : folder}/${name}`;
			const stat = await tolerate(filesystem.stat(at));
			if (stat?.type === "directory") pending.push(at);
			if (stat?.type !== "file") continue;
			const contents = await tolerate(filesystem.open(at));
			const size = contents?.size ?? 0;
			for (const start of [0, Math.floor(size / 2), size - Math.min(size, 4000)]) {
				if (contents) await tolerate(contents.read(start, new Uint8Array(Math.min(4000, size - start))));
			}
		}
	}
}

/** The result, or nothing where it failed the way that damage may. */
export async function tolerate<T>(result: Promise<T>): Promise<T | undefined> {
	try {
		return await result;
	} catch (error) {
		if (error instanceof AnyvisorError) return undefined;
		throw error;
	}
}
