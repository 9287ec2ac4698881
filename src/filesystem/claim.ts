import { refused } from "../bytes/errors.js";
import type { ByteStore } from "../bytes/source.js";

const claimed = new WeakSet<ByteStore>();

/** Makes `volume` one editor's own until the returned function is called; `refused` while another one has it. */
export function claim(volume: ByteStore): () => void {
	if (claimed.has(volume)) {
		throw refused(`${volume.name} is being edited already`, {
			file: volume.name,
			hint: "Close the other editor first.",
		});
	}
	claimed.add(volume);
	return () => claimed.delete(volume);
}
