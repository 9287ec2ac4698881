import type { Inspection } from "../../../src/inspection-schema.js";
import type { ExpectedGuest } from "./expected.js";

/** What was found about a guest, in the words of what is expected. */
export type Computed = Omit<ExpectedGuest, "why">;

export function computedOf({ guest, volumes, verdicts }: Inspection, hostKernel: string): Computed {
	const kernel = guest.kernels.find(({ default: chosen }) => chosen);
	const root = volumes.find(({ mount }) => mount === "/");
	return {
		system: guest.name,
		kernel: kernel?.version === hostKernel ? "the host's" : (kernel?.version ?? "none"),
		root: `${root?.filesystem ?? "none"}${root?.device ? ` on ${root.scheme}` : ""}`,
		generator: kernel?.initramfs?.generator ?? "none",
		loader: guest.bootLoader,
		firmware: guest.firmware.join(" and "),
		parameter: /(?:^| )(root=\S*)/.exec(kernel?.cmdline ?? "")?.[1]?.replace(root?.uuid ?? "", "") ?? "none",
		verdicts: Object.fromEntries(verdicts.map((verdict) => [verdict.hypervisor, verdictText(verdict)])),
	};
}

/** The devices that a package would attach; of a verdict without any, the first disk. */
function verdictText({ verdict, devices }: Inspection["verdicts"][number]): string {
	const disks = devices.filter(({ role }) => role === "disk");
	const disk = disks.find(({ chosen }) => chosen) ?? disks[0];
	const nic = devices.find(({ role, chosen }) => role === "network" && chosen);
	return `${verdict}, ${disk ? `${disk.device} ${disk.state}` : "none"}, ${nic?.driver ?? "none"}`;
}

const facts = ["system", "kernel", "root", "generator", "loader", "firmware", "parameter"] as const;

export interface Row {
	readonly name: string;
	readonly expected: ExpectedGuest;
	readonly computed: Computed;
}

/** The sections that a table has, by the names of their guests. */
export const sectionsOf = (text: string): ReadonlyMap<string, string> =>
	new Map(
		text
			.split(/^(?=## )/m)
			.slice(1)
			.map((section) => [/^## (.*)$/m.exec(section)?.[1] ?? "", section.trimEnd()]),
	);

const introduction = `# Verdicts, expected and computed

Written by \`npm run verdicts\`; do not edit. The tests make and compare those of Debian's guests that have each pair of
generator, root and boot loader. Guests are made by scripts/guest/replicas.mjs: Debian's from its own packages
and generators, the others as replicas of their distributions' layouts. What is expected stands in
test/guest/verdicts/expected.ts. A verdict names the boot disk, where its driver is, and the driver of the network card.
`;

/** A section a guest, a row a hypervisor. */
export function markdown(rows: readonly Row[]): string {
	return [introduction, ...rows.map(section)].join("\n");
}

function section({ name, expected, computed }: Row): string {
	const cell = (want: string | undefined, got: string | undefined) => (want === got ? "as expected" : `**${got}**`);
	const line = (what: string, want: string | undefined, got: string | undefined) =>
		`| ${what} | ${want} | ${cell(want, got)} |\n`;
	return `## ${name}

${sentence(expected.why)}

| | expected | computed |
| --- | --- | --- |
${facts.map((fact) => line(fact, expected[fact], computed[fact])).join("")}${Object.keys(expected.verdicts)
	.map((id) => line(id, expected.verdicts[id], computed.verdicts[id]))
	.join("")}`;
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
