// Conversions on a file system where extents can be shared instead of copied.
import { mkdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { free } from "./circumstances.mjs";
import { conversion } from "./conversions.mjs";
import { lazily, repeated } from "./inputs.mjs";
import { convertByPeer, kinds } from "./kinds.mjs";
import { run } from "./measure.mjs";

const GiB = 2 ** 30;
/** Each GiB is 45 s of the whole benchmark, nearly all of it the peer's writes. */
const wanted = 10 * GiB;

/** The others copy: once tells enough, and each gigabyte of each pair has to be written. */
const limits = { rounds: 3, contender: 5_000, patience: 60_000 };

const fromRaw = ["raw", "qcow2", "vhdx", "vdi", "vmdk", "vmdk monolithicFlat"].map((to) => ["raw", to]);
const others = [
	["qcow2", "raw"],
	["vhdx", "qcow2"],
];

export function sharing(lab, guest) {
	const image = path.join(lab.folder, "xfs.img");
	const folder = path.join(lab.folder, "xfs");
	const place = (name) => path.join(folder, name);
	let copies;
	let data;
	let step;
	const xfs = lazily(
		folder,
		async () => {
			const one = (await stat(await guest())).blocks * 512;
			copies = lab.quick ? 1 : copiesOf(one, free(lab.folder));
			data = copies * one;
			await mounted(image, folder, roomFor(data));
		},
		{ from: [guest], remove: () => unmounted(image, folder) },
	);
	const raw = lazily(
		place("source.raw"),
		async (file) => {
			await xfs();
			step = await repeated(await guest(), file, copies);
		},
		{ from: [xfs] },
	);
	// There is room for one source and one output.
	const instead = (from, to, input) =>
		lazily(
			place(`source.${to}`),
			async (file) => {
				await convertByPeer(from, to, await input(), file);
				await input.drop();
			},
			{ from: [input] },
		);
	const qcow2 = instead("raw", "qcow2", raw);
	const inputs = { raw, qcow2, vhdx: instead("qcow2", "vhdx", qcow2) };
	return {
		title: "Extents that can be shared",
		about:
			"Input and output on one XFS, on a loop device; the input is the guest disk several times, one behind the other. qemu-img copies (it could share raw to raw alone, with `-C`), and runs once in each way, for 60 s at most.",
		races: [...fromRaw, ...others].map(([from, to]) =>
			conversion(lab, {
				name: `XFS: ${from} → ${to}`,
				target: { ratio: 50 },
				input: inputs[from],
				from,
				to,
				folder: () => folder,
				...(from === to && { references: { "cp --reflink=always": ["cp", "--reflink=always"] } }),
				verify: async (output) => sameAsLastCopy(await guest(), output, kinds[to].driver, (copies - 1) * step),
				note: () => `${(data / GiB).toFixed(1)} GiB of data`,
				limits,
			}),
		),
	};
}

/** Source, output, what XFS has not freed yet of the output before, and what it needs to be quick. */
const roomFor = (data) => Math.ceil(3.2 * data) + GiB;

/** As many as there is room for: on small disks it is mostly the start of Node that is measured. */
function copiesOf(one, room) {
	let copies = Math.ceil(wanted / one);
	while (copies > 1 && roomFor(copies * one) > room - GiB) copies--;
	return copies;
}

async function mounted(image, folder, size) {
	try {
		await mkdir(folder, { recursive: true });
		await run("truncate", ["-s", String(size), image]);
		await run("mkfs.xfs", ["-q", image]);
		await run("mount", ["-o", "loop", image, folder]);
	} catch (error) {
		const reason = error.message.split("\n").at(-1);
		throw Object.assign(new Error(`needs root, mkfs.xfs and loop devices: ${reason}`), { skipped: true });
	}
}

export async function unmounted(image, folder) {
	// It may never have been mounted.
	await run("umount", [folder], { uninterrupted: true }).catch(() => undefined);
	await rm(image, { force: true });
}

/** Comparing all of it would take longer than all that is measured. */
async function sameAsLastCopy(guest, output, driver, offset) {
	const name = (file) => file.replaceAll(",", ",,");
	const { size } = await stat(guest);
	const window = `driver=raw,offset=${offset},size=${size},file.driver=${driver},file.file.filename=${name(output)}`;
	await run("qemu-img", ["compare", "--image-opts", `driver=raw,file.filename=${name(guest)}`, window]);
}
