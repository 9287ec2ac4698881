import type { Inspection } from "../inspection-schema.js";
import { stdout } from "./standard-streams.js";
import {
	type Cell,
	humanBytes,
	type Paint,
	painter,
	printable,
	type Style,
	type Terminal,
	table,
	wantsColour,
	wrap,
} from "./terminal.js";

type Verdict = Inspection["verdicts"][number];
type Device = Verdict["devices"][number];

const verdictStyle: Record<Verdict["verdict"], Style> = { ready: "green", fixable: "yellow", blocked: "red" };
const verdictMark: Record<Verdict["verdict"], string> = { ready: "✔", fixable: "+", blocked: "✘" };
const stateMark: Record<Device["state"], string> = { builtin: "●", initramfs: "●", installed: "○", absent: "–" };
const legend = "● driver there when the kernel looks for its root   ○ on the root disk only   – absent";

/** The readiness matrix and what it is about, as a terminal shows it. */
export function matrix(document: Inspection, stream: Terminal = stdout): string {
	const paint = painter(wantsColour(stream));
	const width = stream.columns ?? 120;
	return `${summary(document, paint)}\n${readiness(document.verdicts, paint, width)}${network(document, paint, width)}`;
}

function summary({ source, disks, volumes, guest }: Inspection, paint: Paint): string {
	const kernel = guest.kernels.find((candidate) => candidate.default) ?? guest.kernels[0];
	const initramfs = kernel?.initramfs;
	const disk = disks.map(({ format, size }) => `${format}, ${humanBytes(size)}`).join("; ");
	const lines = [
		`${paint("bold", printable(source.name))}  ${disk}`,
		`${printable(guest.name)}, ${guest.arch}, boots by ${guest.firmware.join(" and ") || "nothing that was found"}`,
		kernel
			? `kernel ${printable(kernel.version)}, ${initramfs ? `${initramfs.generator} initramfs (${humanBytes(initramfs.size)}, ${initramfs.modules.length} modules)` : "no initramfs"}`
			: "no kernel",
		...[...volumes.flatMap(({ problem }) => problem ?? []), ...guest.problems, ...(kernel?.problems ?? [])].map(
			(problem) => paint("yellow", `! ${printable(problem)}`),
		),
	];
	return `${lines.join("\n")}\n`;
}

/** One row a hypervisor: the devices that its package attaches; then the decisive reason of each. */
function readiness(verdicts: readonly Verdict[], paint: Paint, width: number): string {
	const head = ["hypervisor", "verdict", "boot disk", "network", "video"];
	const rows = verdicts.map((verdict): Cell[] => [
		{ text: verdict.hypervisor },
		{ text: `${verdictMark[verdict.verdict]} ${verdict.verdict}`, style: verdictStyle[verdict.verdict] },
		deviceCell(verdict, "disk"),
		deviceCell(verdict, "network"),
		deviceCell(verdict, "video"),
	]);
	const reasons = verdicts.map(({ hypervisor, verdict, reasons }): Cell[] => [
		{ text: hypervisor, style: verdictStyle[verdict] },
		{ text: reasons[0] ?? "" },
	]);
	const top = table([head.map((text) => ({ text, style: "bold" as const })), ...rows], paint, width);
	return `${top}${paint("dim", legend)}\n\n${table(reasons, paint, width)}`;
}

function deviceCell({ devices }: Verdict, role: Device["role"]): Cell {
	const all = devices.filter((device) => device.role === role);
	const device = all.find(({ chosen }) => chosen) ?? all.find(({ works }) => works) ?? all[0];
	if (!device) return { text: "-", style: "dim" };
	const style = device.works ? "green" : device.state === "absent" ? "red" : "yellow";
	return { text: `${stateMark[device.state]} ${device.device} ${device.driver ?? "(no driver)"}`, style };
}

/** What becomes of the interfaces that the guest configures; the same of several hypervisors in one row. */
function network({ verdicts, guest }: Inspection, paint: Paint, width: number): string {
	const rows = new Map<string, { where: string[]; style: Style }>();
	for (const { hypervisor, interfaces } of verdicts) {
		for (const { text, state, prepared } of interfaces) {
			const style = state === "kept" ? "green" : prepared === "kept" ? "yellow" : "red";
			const row = rows.get(text) ?? { where: [], style };
			row.where.push(hypervisor);
			rows.set(text, row);
		}
	}
	if (rows.size === 0) return "";
	const told = Array.from(rows, ([text, { where, style }]) => {
		const everywhere = verdicts.length > 1 && where.length === verdicts.length;
		const on = wrap(everywhere ? "everywhere" : `on ${where.join(", ")}`, width - 2);
		const sentence = wrap(printable(text), width).map((line) => paint(style, line));
		return [...sentence, ...on.map((line) => paint("dim", `  ${line}`)), ""].join("\n");
	});
	return `\n${paint("bold", "network interfaces")}\n${told.join("")}${cloudInit(guest, paint)}`;
}

function cloudInit({ naming }: Inspection["guest"], paint: Paint): string {
	if (naming.cloudInit === undefined || naming.cloudInit.networkDisabled) return "";
	const text = "cloud-init is installed: where it takes the machine for a new one it configures the network anew.";
	return `${paint("yellow", `! ${text}`)}\n`;
}
