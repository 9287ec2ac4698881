import { damaged, unsupported } from "../../bytes/errors.js";
import { viewOf } from "../../bytes/struct.js";
import { machineOfSettings, Settings } from "../hyperv-settings.js";
import type { DescriptorFile, Machine, MachineFormat } from "../machine.js";
import {
	ELSEWHERE,
	Elsewhere,
	HEADER_SIGNATURE,
	HEADERS,
	Header,
	Key,
	KeyTable,
	KeyType,
	LOG_SIGNATURE,
	Log,
	OBJECTS_AT,
	OBJECTS_SIGNATURE,
	ObjectEntry,
	Objects,
	ObjectType,
	TABLE_SIGNATURE,
	VERSION,
} from "./layout.js";

/** The configuration of a virtual machine of Hyper-V since Windows Server 2016. */
export const vmcx: MachineFormat = {
	id: "vmcx",
	matches: ({ bytes }) => bytes.length >= Header.size && viewOf(bytes).getUint32(0, true) === HEADER_SIGNATURE,
	read: (file) => Promise.resolve().then(() => readVmcx(file)),
};

const KNOWN = new Set<number>(Object.values(KeyType).filter((type) => type !== KeyType.free));
/** Those of the largest machines in the field have 3000. */
const MOST_KEYS = 100_000;

function readVmcx(file: DescriptorFile): Machine {
	const { name } = file;
	const headers = HEADERS.map((at) => Header.parse(file.bytes, at, name, 0)).filter(
		({ signature }) => signature === HEADER_SIGNATURE,
	);
	const [first] = headers;
	if (first === undefined) throw wrong(name, 0, "header");
	const header = headers.reduce((a, b) => (b.sequence > a.sequence ? b : a), first);
	if (header.version !== VERSION) {
		throw unsupported(`${name} is of version ${header.version >> 8}.${header.version & 0xff}, which is not known`, {
			file: name,
			hint: "Export the VM from a Hyper-V of Windows Server 2016 to 2025.",
		});
	}
	const settings = settingsOf(file);
	const lost: string[] = [];
	const log = Log.parse(file.bytes, header.logOffset, name, 0);
	if (log.signature === LOG_SIGNATURE && log.entries > 0) {
		lost.push("The file was in use when it was copied: the last changes to the machine may be missing.");
	}
	return machineOfSettings(settings, file, "vmcx", lost);
}

const wrong = (file: string, offset: number, what: string) =>
	damaged(`${file}: the ${what} at byte ${offset} is damaged`, {
		file,
		offset,
		hint: "Copy or export the VM again.",
	});

/** The tree of keys; a key whose parent is not there is left out with all below it. */
function settingsOf({ name, bytes }: DescriptorFile): Settings {
	const nodes = new Map<string, { readonly parent: string; readonly name: string; readonly settings: Settings }>();
	let keys = 0;
	// Each value lies in the file once.
	const budget = { left: bytes.length };
	for (const { at, size, index } of keyTables(name, bytes)) {
		for (let within = KeyTable.size; within + Key.size <= size; ) {
			const key = Key.parse(bytes, at + within, name, 0);
			if (key.size < Key.size + key.value || within + key.size > size) break;
			if (++keys > MOST_KEYS) throw wrong(name, at, "key table");
			if (KNOWN.has(key.type)) {
				const body = bytes.subarray(at + within + Key.size, at + within + key.size);
				const own = new TextDecoder().decode(body.subarray(0, key.value)).replace(/\0.*$/s, "");
				const value =
					key.type === KeyType.node ? undefined : valueOf(name, bytes, key, body.subarray(key.value), budget);
				nodes.set(`${index}:${within}`, {
					parent: `${key.parentTable}:${key.parentOffset}`,
					name: own,
					settings: new Settings(value),
				});
			}
			within += key.size;
		}
	}
	const root = new Settings(undefined);
	for (const { parent, name: own, settings } of nodes.values()) {
		const above = parent === "0:0" ? root : nodes.get(parent)?.settings;
		above?.add(own, settings);
	}
	const configuration = root.at("configuration");
	if (configuration === undefined) throw wrong(name, OBJECTS_AT, "table of keys");
	return configuration;
}

function keyTables(name: string, bytes: Uint8Array) {
	const { signature, entries } = Objects.parse(bytes, OBJECTS_AT, name, 0);
	if (signature !== OBJECTS_SIGNATURE) throw wrong(name, OBJECTS_AT, "table of objects");
	const first = OBJECTS_AT + Objects.size;
	const room = Math.floor((bytes.length - first) / ObjectEntry.size);
	if (entries > room) throw wrong(name, OBJECTS_AT, "table of objects");
	const tables = new Map<number, { at: number; size: number; index: number; sequence: number }>();
	for (let i = 0; i < entries; i++) {
		const entry = ObjectEntry.parse(bytes, first + i * ObjectEntry.size, name, 0);
		if (entry.allocated === 0 || entry.type !== ObjectType.keyTable) continue;
		if (entry.offset + entry.size > bytes.length || entry.size < KeyTable.size)
			throw wrong(name, entry.offset, "object");
		const table = KeyTable.parse(bytes, entry.offset, name, 0);
		if (table.signature !== TABLE_SIGNATURE) throw wrong(name, entry.offset, "key table");
		const { index, sequence } = table;
		if ((tables.get(index)?.sequence ?? -1) >= sequence) continue;
		tables.set(index, { at: entry.offset, size: entry.size, index, sequence });
	}
	return [...tables.values()].toSorted((a, b) => a.index - b.index);
}

/** As the XML of older versions writes it. */
function valueOf(
	name: string,
	bytes: Uint8Array,
	{ type, flags }: { readonly type: number; readonly flags: number },
	stored: Uint8Array,
	budget: { left: number },
): string | undefined {
	let value = stored;
	if (flags & ELSEWHERE) {
		const { size, offset } = Elsewhere.parse(stored, 0, name, 0);
		budget.left -= size;
		if (offset + size > bytes.length || budget.left < 0) throw wrong(name, offset, "value");
		value = bytes.subarray(offset, offset + size);
	}
	const view = viewOf(value);
	if (type === KeyType.integer || type === KeyType.unsigned) {
		if (value.length < 8) return undefined;
		return String(type === KeyType.integer ? view.getBigInt64(0, true) : view.getBigUint64(0, true));
	}
	if (type === KeyType.bool) return value.length > 0 && value[0] !== 0 ? "True" : "False";
	if (type !== KeyType.string) return undefined;
	// Its length comes first, but for what lies elsewhere.
	const length = flags & ELSEWHERE ? value.length : value.length < 4 ? 0 : view.getUint32(0, true);
	const start = flags & ELSEWHERE ? 0 : 4;
	return new TextDecoder("utf-16le").decode(value.subarray(start, start + length)).replace(/\0.*$/s, "");
}
