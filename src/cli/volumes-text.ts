import type { Inspection } from "../inspection-schema.js";
import type { FoundVolume } from "../pipeline.js";
import { stdout } from "./standard-streams.js";
import { humanBytes, painter, printable, table, wantsColour } from "./terminal.js";

/** As Linux names them, disks as if they had one kind of controller: `/dev/sda1`, `/dev/vg/root`; a disk is `/dev/sda`. */
export const deviceNames = (volumes: readonly Pick<FoundVolume, "disk" | "volume">[]): readonly string[] =>
	volumes.map(({ disk, volume: { assembled, number } }) => {
		return assembled?.devices[0] ?? `/dev/sd${letters(disk)}${number === 0 ? "" : number}`;
	});

/** a to z, aa, ab, … */
function letters(index: number): string {
	const last = String.fromCharCode("a".charCodeAt(0) + (index % 26));
	return index < 26 ? last : letters(Math.floor(index / 26) - 1) + last;
}

export type VolumeLine = Inspection["volumes"][number] & { readonly device: string };

export function volumesText(volumes: readonly VolumeLine[]): string {
	const paint = painter(wantsColour(stdout));
	if (volumes.length === 0) return "The disks are not divided into volumes.\n";
	const head = ["device", "size", "type", "holds", "mounted at", "label", "UUID"];
	const rows = volumes.map(({ device, size, scheme, type, filesystem, mount, label, uuid, problem }) => {
		const holds = filesystem ?? (problem === null ? "nothing known" : "damaged");
		const cells = [device, humanBytes(size), typeText(scheme, type), holds, mount ?? "", label, uuid];
		const style = problem === null ? {} : warning;
		return cells.map((text, i) => (i === 3 ? Object.assign({ text }, style) : { text }));
	});
	const problems = volumes.flatMap(({ device, problem }) =>
		problem === null ? [] : [`${device}: ${printable(problem)}\n`],
	);
	return (
		table([head.map((text) => ({ text, style: "bold" as const })), ...rows], paint, stdout.columns ?? 200) +
		problems.join("")
	);
}

const warning = { style: "yellow" } as const;

const typeText = (scheme: string, type: string) => (type === "" ? scheme : `${scheme} ${type.slice(0, 8)}`);
