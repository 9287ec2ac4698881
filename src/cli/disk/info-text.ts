import type { DiskDetails, Snapshot } from "../../disk/disk.js";
import { stdout } from "../standard-streams.js";
import {
	type Cell,
	exactBytes,
	humanBytes,
	type Paint,
	painter,
	printable,
	type Terminal,
	table,
	wantsColour,
} from "../terminal.js";
import type { DiskInfo, ReferredFile } from "./info.js";

/** What an image is, as a terminal shows it. */
export function infoText(info: DiskInfo, stream: Terminal = stdout): string {
	const paint = painter(wantsColour(stream));
	const width = stream.columns ?? 120;
	const facts: (readonly [string, string])[] = [
		["format", info.variant === null ? info.format : `${info.format}, ${info.variant}`],
		[
			"virtual size",
			info.virtualSize === null ? "not known without the files that are missing" : exactBytes(info.virtualSize),
		],
		["file size", `${exactBytes(info.fileSize)}${onDisk(info.allocated)}`],
		...(info.sectorSize === null ? [] : [["sector size", `${info.sectorSize} bytes`] as const]),
		...detailRows(info.details),
	];
	const rows = facts.map(([label, text]): Cell[] => [{ text: label, style: "dim" }, { text }]);
	const parts = [
		`${paint("bold", printable(info.file))}\n${table(rows, paint, width)}`,
		...(info.files.length === 0 ? [] : [`${paint("bold", "refers to")}\n${filesText(info.files, paint, width)}`]),
		...(info.snapshots.length === 0 ? [] : [`${paint("bold", "snapshots")}\n${snapshotsText(info.snapshots, paint)}`]),
	];
	return parts.join("\n");
}

const onDisk = (allocated: number | null) => (allocated === null ? "" : `, ${humanBytes(allocated)} on disk`);

/** `clusterSize: 65536` as "cluster size  64.0 KiB". */
function detailRows(details: DiskDetails): (readonly [string, string])[] {
	return Object.entries(details).map(([key, value]) => {
		const label = key.replaceAll(/[A-Z]+/g, (capitals) => ` ${capitals.toLowerCase()}`);
		if (typeof value === "boolean") return [label, value ? "yes" : "no"] as const;
		if (typeof value === "number" && /size$/i.test(key)) return [label, humanBytes(value)] as const;
		return [label, String(value)] as const;
	});
}

function filesText(files: readonly ReferredFile[], paint: Paint, width: number): string {
	const rows = files.map(({ name, state, format, size, allocated, problem }): Cell[] => {
		const facts = [
			...(format === null ? [] : [format]),
			...(size === null ? [] : [humanBytes(size) + onDisk(allocated)]),
		];
		if (state === "ok") return [{ text: "  ✔", style: "green" }, { text: name }, { text: facts.join(", ") }];
		const what = state === "unusable" ? (problem ?? state) : state;
		return [{ text: "  ✘", style: "red" }, { text: name }, { text: what, style: "red" }];
	});
	const hints = [...new Set(files.flatMap(({ hint }) => hint ?? []))];
	return table(rows, paint, width) + hints.map((hint) => `  Next: ${printable(hint)}\n`).join("");
}

/** One line for each snapshot. */
export function snapshotsText(snapshots: readonly Snapshot[], paint: Paint): string {
	const head = ["  id", "name", "taken", "disk", "machine state"].map((text) => ({ text, style: "dim" as const }));
	const rows = snapshots.map(({ id, name, date, size, vmStateSize }): Cell[] => [
		{ text: `  ${id}` },
		{ text: name },
		{ text: `${new Date(date * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC` },
		{ text: humanBytes(size) },
		{ text: vmStateSize === 0 ? "none" : humanBytes(vmStateSize) },
	]);
	return table([head, ...rows], paint, 200);
}
