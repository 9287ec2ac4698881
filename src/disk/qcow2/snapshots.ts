import { cached } from "../../bytes/cache.js";
import { damaged, notFound } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { readBytes } from "../../bytes/source.js";
import type { Snapshot } from "../disk.js";
import type { L1Place, Qcow2Header } from "./header.js";
import { ENTRY_ALIGNMENT, SNAPSHOT_LIMIT, SNAPSHOT_TABLE_LIMIT, SnapshotEntry, SnapshotExtra } from "./layout.js";

/** A snapshot, and the place of the table that describes it. */
export interface InternalSnapshot {
	readonly snapshot: Snapshot;
	readonly l1: L1Place;
}

export interface SnapshotTable {
	readonly snapshots: readonly InternalSnapshot[];
	/** Length of the table in bytes. */
	readonly length: number;
}

export async function readSnapshots(source: ByteSource, header: Qcow2Header): Promise<SnapshotTable> {
	const { at, count } = header.snapshots;
	const file = source.name;
	const fail = (offset: number, what: string) =>
		damaged(`${file}: ${what}`, { file, offset, hint: "Look at it with qemu-img check." });
	if (count > SNAPSHOT_LIMIT) throw fail(at, `${count} snapshots are more than the limit of ${SNAPSHOT_LIMIT}`);

	const table = cached(source);
	const snapshots: InternalSnapshot[] = [];
	let next = at;
	for (let i = 0; i < count; i++) {
		const entry = SnapshotEntry.parse(await readBytes(table, next, SnapshotEntry.size), 0, file, next);
		const extraAt = next + SnapshotEntry.size;
		const idAt = extraAt + entry.extra_data_size;
		const end = idAt + entry.id_size + entry.name_size;
		if (end - at > SNAPSHOT_TABLE_LIMIT) throw fail(next, "the snapshot table exceeds the limit of 64 MiB");
		const extra = new Uint8Array(SnapshotExtra.size);
		const known = Math.min(entry.extra_data_size, extra.length);
		extra.set(await readBytes(table, extraAt, known));
		const { vm_state_size, disk_size } = SnapshotExtra.parse(extra, 0, file, extraAt);
		const names = await readBytes(table, idAt, end - idAt);
		const snapshot = {
			id: new TextDecoder().decode(names.subarray(0, entry.id_size)),
			name: new TextDecoder().decode(names.subarray(entry.id_size)),
			date: entry.date_sec,
			// Extra data came in steps: first the state's size in 64 bits, then the disk's.
			size: known === extra.length ? Math.floor(disk_size / 512) * 512 : header.size,
			vmStateSize: known >= SnapshotExtra.offsets.disk_size ? vm_state_size : entry.vm_state_size,
		};
		snapshots.push({ snapshot, l1: { at: entry.l1_table_offset, entries: entry.l1_size } });
		next = at + Math.ceil((end - at) / ENTRY_ALIGNMENT) * ENTRY_ALIGNMENT;
	}
	return { snapshots, length: next - at };
}

/** The snapshot of this id, or else of this name. */
export function findSnapshot(file: string, snapshots: readonly InternalSnapshot[], idOrName: string): InternalSnapshot {
	const found =
		snapshots.find(({ snapshot }) => snapshot.id === idOrName) ??
		snapshots.find(({ snapshot }) => snapshot.name === idOrName);
	if (found !== undefined) return found;
	const known = snapshots.slice(0, 20).map(({ snapshot: { id, name } }) => `${id} (${name})`);
	throw notFound(`${file} has no snapshot "${idOrName}"`, {
		file,
		hint: known.length === 0 ? "It has no snapshots at all." : `It has: ${known.join(", ")}.`,
	});
}
