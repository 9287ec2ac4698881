import path from "node:path";
import type { ByteSource } from "../bytes/source.js";
import { type Origin, openVm } from "../open.js";
import type { Vm } from "../pipeline.js";
import { folderNeighbours, openFile } from "../source/index.js";

/** A VM that closes its files. */
export type OpenVm = Vm & AsyncDisposable;

/** Opens the VM that a user named. */
export async function openNamed(file: string, format?: string): Promise<OpenVm> {
	const { origin, close } = await openOrigin(file);
	try {
		const vm = await openVm(origin, format);
		return { ...vm, [Symbol.asyncDispose]: close };
	} catch (error) {
		await close();
		throw error;
	}
}

/** A file of this computer; all that it leads to is closed with it. */
async function openOrigin(file: string): Promise<{ origin: Origin; close: () => Promise<void> }> {
	const source = await openFile(file);
	const opened: ByteSource[] = [source];
	const open = folderNeighbours(path.dirname(file));
	const neighbour = async (name: string) => {
		const found = await open(name);
		opened.push(found);
		return found;
	};
	return {
		origin: { source, neighbour },
		async close() {
			for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]?.();
		},
	};
}
