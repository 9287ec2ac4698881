import { refused } from "../../bytes/errors.js";
import { type DirtyLog, readRecords } from "./log.js";
import { Item, Operation, OperationFlag, TRANSACTION_HEADER } from "./log-layout.js";
import { corrupt } from "./superblock.js";

/** Something that a transaction changed: a header that says what, and the new bytes. */
export interface LogItem {
	readonly type: number;
	/** At least one, the first of which has room for {@link Item}. */
	readonly regions: Uint8Array[];
}

interface Transaction {
	/** Bytes of its header that were seen. */
	header: number;
	/** Bytes of memory that it takes, roughly. */
	cost: number;
	readonly items: Pending[];
}

type Pending = LogItem & {
	/** Number of regions when it is complete. */
	readonly size: number;
};

/** In bytes of memory, of transactions that are not complete, and what each of their parts takes beside its contents. */
const MOST_PENDING = 256 << 20;
const OVERHEAD = 128;

/** The items of each transaction that was completed, in the order in which they were. */
export async function* readTransactions(log: DirtyLog): AsyncGenerator<readonly LogItem[]> {
	const { name } = log.volume;
	const open = new Map<number, Transaction>();
	let pending = 0;
	for await (const { data: record, operations } of readRecords(log)) {
		for (let at = 0, left = operations; left > 0 && at < record.length; left--) {
			const { oh_tid, oh_len, oh_flags } = Operation.parse(record, at, name, log.at);
			at += Operation.size;
			const region = record.subarray(at, at + oh_len);
			if (region.length < oh_len) throw corrupt(name, log.at, "an operation in the log is longer than its record");
			at += oh_len;
			if (oh_flags & OperationFlag.UNMOUNT) continue;
			if (oh_flags & OperationFlag.START) {
				pending -= open.get(oh_tid)?.cost ?? 0;
				open.set(oh_tid, { header: 0, cost: 0, items: [] });
			}
			const transaction = open.get(oh_tid);
			// It began before the tail: whatever it changed is in its place.
			if (transaction === undefined) continue;
			if (oh_flags & OperationFlag.COMMIT) {
				open.delete(oh_tid);
				pending -= transaction.cost;
				yield complete(transaction, log);
				continue;
			}
			transaction.cost += oh_len + OVERHEAD;
			pending += oh_len + OVERHEAD;
			if (pending > MOST_PENDING) throw tooMuch(log);
			// A copy: the rest of the record need not be kept.
			if (oh_len > 0) addRegion(transaction, region.slice(), (oh_flags & OperationFlag.WAS_CONTINUED) !== 0, log);
		}
	}
}

const tooMuch = ({ volume: { name }, at }: DirtyLog) =>
	refused(`${name}: the transactions in the log of this XFS file system take more than ${MOST_PENDING} bytes`, {
		file: name,
		offset: at,
		hint: "Start the guest once and shut it down cleanly, or mount its file system once, read-write.",
	});

function addRegion(transaction: Transaction, region: Uint8Array, continued: boolean, { volume, at }: DirtyLog) {
	if (transaction.header < TRANSACTION_HEADER) {
		transaction.header += region.length;
		if (transaction.header > TRANSACTION_HEADER)
			throw corrupt(volume.name, at, "a transaction in the log has no header");
		return;
	}
	const item = transaction.items.at(-1);
	if (continued) {
		const before = item?.regions.pop();
		if (item === undefined || before === undefined) throw corrupt(volume.name, at, "the log goes on with nothing");
		const whole = new Uint8Array(before.length + region.length);
		whole.set(before);
		whole.set(region, before.length);
		item.regions.push(whole);
	} else if (item === undefined || item.regions.length === item.size) {
		const { type, size } = Item.parse(region, 0, volume.name, at);
		if (size === 0) throw corrupt(volume.name, at, "an item in the log has no regions");
		transaction.items.push({ type, size, regions: [region] });
	} else item.regions.push(region);
}

function complete({ items }: Transaction, { volume, at }: DirtyLog): readonly LogItem[] {
	if (items.some(({ regions, size }) => regions.length !== size)) {
		throw corrupt(volume.name, at, "a transaction in the log was completed, but is not complete");
	}
	return items;
}
