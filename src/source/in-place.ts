import { open } from "node:fs/promises";
import { AnyvisorError, refused } from "../bytes/errors.js";
import { guarded } from "./failure.js";

/** How a file is to end. */
export interface FileEnd {
	/** Its length until now; one of another length was changed by somebody else. */
	readonly was: number;
	/** Where `bytes` go, and the file ends behind them. What lies between its old end and there reads as zero. */
	readonly at: number;
	readonly bytes: Uint8Array;
}

/**
 * Changes the end of a file where it lies; what is before stays. It is on the disk when this resolves; where it fails, a
 * file that was to grow has its old length again.
 *
 * @throws `refused` for what is no plain file, or has changed; `permission`, `no-space`, `io`
 */
export async function setEnd(file: string, { was, at, bytes }: FileEnd): Promise<void> {
	await guarded("writing", file, async () => {
		await using handle = await open(file, "r+");
		const stats = await handle.stat();
		if (!stats.isFile()) {
			throw refused(`${file} is a device, whose end is fixed`, {
				file,
				hint: "Write the faces into a file: --output.",
			});
		}
		if (stats.size !== was) {
			throw refused(`${file} has ${stats.size} bytes now, and had ${was} when it was looked at`, {
				file,
				hint: "Shut down the VM that uses it, and try again.",
			});
		}
		try {
			if (bytes.length > 0) {
				const { bytesWritten } = await handle.write(bytes, 0, bytes.length, at);
				if (bytesWritten < bytes.length) throw new AnyvisorError("no-space", `${file} cannot grow`, { file });
			}
			await handle.truncate(at + bytes.length);
			await handle.sync();
		} catch (error) {
			if (at + bytes.length > was) await handle.truncate(was).catch(() => {});
			throw error;
		}
	});
}
