import { AnyvisorError } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import type { VolumeAssembly } from "../assembly.js";
import type { Volume } from "../volume.js";
import { decrypted } from "./decrypted.js";
import type { LuksHeader } from "./header.js";
import { MAGIC } from "./layout.js";
import { readLuks1 } from "./luks1.js";
import { readLuks2 } from "./luks2.js";
import { volumeKey } from "./unlock.js";

/** What LUKS volumes open into. Without a key they are left alone. */
export const luks: VolumeAssembly = {
	id: "luks",
	async assemble(candidates, keys) {
		const problems = new Map<Volume, AnyvisorError>();
		const used = new Set<Volume>();
		const volumes: Volume[] = [];
		for (const volume of keys.length === 0 ? [] : candidates) {
			try {
				const header = await readHeader(volume.source);
				if (header === undefined) continue;
				const key = await volumeKey(volume.source, header, keys);
				volumes.push(await opened(volume, header, key));
				used.add(volume);
			} catch (error) {
				if (!(error instanceof AnyvisorError)) throw error;
				problems.set(volume, error);
			}
		}
		return { volumes, used, problems };
	},
};

async function readHeader(source: ByteSource): Promise<LuksHeader | undefined> {
	const head = await readUpTo(source, 0, MAGIC.length + 2);
	return String.fromCharCode(...head) === `${MAGIC}\0\x01` ? readLuks1(source) : readLuks2(source);
}

async function opened(volume: Volume, header: LuksHeader, key: Uint8Array): Promise<Volume> {
	// What systemd calls it that has no /etc/crypttab, and so do most installers.
	const name = `luks-${header.uuid}`;
	const source = await decrypted(`${volume.source.name}:${name}`, volume.source, header, key);
	const devices = [`/dev/mapper/${name}`, `/dev/disk/by-id/dm-name-${name}`];
	const assembled = { from: [volume], devices };
	return { number: 0, scheme: "luks", at: 0, size: source.size, type: "", bootable: false, assembled, source };
}
