// What is measured, and what is asked of it.
import path from "node:path";
import { conversion, growth } from "./conversions.mjs";
import { guestDisk, lazily, madeByPeer, randomDisk, repeated, spreadDisks, vastDisk, verifyVast } from "./inputs.mjs";
import { anyvisor, kinds, plain } from "./kinds.mjs";
import { limits, race } from "./measure.mjs";
import { sharing } from "./sharing.mjs";

const memoryLimit = 256 * 2 ** 20;

/**
 * All groups in the order of RESULTS.md: `{title, about?, single?, races}`. `single` has rows of single commands, the others
 * conversions. A race is measured and stored as a whole:
 *
 * - `name`, and `inputs`, which `measure` makes and the runner drops after the last race that needs them
 * - `rows`: `{name, target?, pairs}`, see report.mjs
 * - `measure()`: `{contenders, note?}`, where `contenders` is what `race` gives
 *
 * @param lab see disk.mjs
 */
export function groupsOf(lab) {
	const guest = lab.input
		? lazily(path.resolve(lab.input), () => Promise.resolve(), { remove: () => Promise.resolve() })
		: lazily(path.join(lab.folder, "guest.raw"), (file) => guestDisk(file, lab));
	const images = imagesOf(lab, guest);
	return [
		compressedOutputs(lab, guest),
		compressedInputs(lab, images),
		plainPairs(lab, guest),
		costOfData(lab),
		sharing(lab, guest),
		vast(lab),
		startUp(lab, images),
	];
}

function compressedOutputs(lab, guest) {
	const random = lazily(path.join(lab.folder, "random.raw"), (file) => randomDisk(file, lab));
	const compressed = (label, input, to, { ratio, fast, portable }) =>
		conversion(lab, {
			name: `${label} → ${to}`,
			target: { ratio, size: 1.03 },
			input,
			from: "raw",
			to,
			variants: {
				...(fast && { "--fast": { extra: ["--fast"], target: { ratio: fast } } }),
				...(portable && { "node:zlib alone": { env: { ANYVISOR_NATIVE: "0" }, target: { ratio: portable } } }),
			},
		});
	return {
		title: "Compressed outputs",
		about: "“node:zlib alone” is Anyvisor with ANYVISOR_NATIVE=0, as on a system without libdeflate or koffi.",
		races: [
			compressed("guest", guest, "vmdk streamOptimized", { ratio: 4, fast: 8, portable: 2.5 }),
			compressed("guest", guest, "qcow2 zlib", { ratio: 4, fast: 8, portable: 2.5 }),
			compressed("guest", guest, "qcow2 zstd", { ratio: 1.5 }),
			compressed("incompressible", random, "vmdk streamOptimized", { ratio: 4, fast: 8 }),
			compressed("incompressible", random, "qcow2 zlib", { ratio: 4, fast: 8 }),
			compressed("incompressible", random, "qcow2 zstd", { ratio: 1.5 }),
		],
	};
}

/** A raw disk in each kind of image that is read. */
function imagesOf(lab, raw, name = "guest", more = ["vmdk streamOptimized", "qcow2 zlib", "qcow2 zstd"]) {
	const images = { raw };
	for (const kind of [...plain.slice(1), ...more]) {
		const file = path.join(lab.folder, `${name}-${kind.replace(" ", "-")}.${kinds[kind].suffix}`);
		images[kind] = madeByPeer(raw, "raw", kind, file);
	}
	return images;
}

function compressedInputs(lab, images) {
	return {
		title: "Compressed inputs",
		races: ["vmdk streamOptimized", "qcow2 zlib", "qcow2 zstd"].map((from) =>
			conversion(lab, {
				name: `${from} → raw`,
				// The issue asks this of DEFLATE; zstd decodes fast everywhere.
				target: { ratio: from === "qcow2 zstd" ? 1 : 2.5 },
				input: images[from],
				from,
				to: "raw",
			}),
		),
	};
}

/** Of a disk that both need some time for: half a second is mostly the start of a process. */
function plainPairs(lab, guest) {
	const twice = lazily(
		path.join(lab.folder, "twice.raw"),
		async (file) => repeated(await guest(), file, lab.quick ? 1 : 2),
		{ from: [guest] },
	);
	const images = imagesOf(lab, twice, "twice", []);
	return {
		title: "Plain pairs",
		about: "The guest disk twice, one behind the other. VMDK is monolithicSparse; VHD, VHDX and VDI are dynamic.",
		races: plain.flatMap((from) => {
			const input = images[from];
			return plain.map((to) => conversion(lab, { name: `${from} → ${to}`, target: { ratio: 1 }, input, from, to }));
		}),
	};
}

function costOfData(lab) {
	const place = (name) => path.join(lab.folder, name);
	const both = lazily(place("2t.raw"), (large) => spreadDisks(place("4g.raw"), large, lab));
	const raw = {
		"4 GiB": lazily(place("4g.raw"), both, { from: [both] }),
		"2 TiB": both,
	};
	const qcow2 = {
		"4 GiB": madeByPeer(raw["4 GiB"], "raw", "qcow2", place("4g.qcow2")),
		"2 TiB": madeByPeer(raw["2 TiB"], "raw", "qcow2", place("2t.qcow2")),
	};
	const options = { each: { ratio: 1 }, target: { grows: 1.2 } };
	return {
		title: "Cost follows the data",
		about:
			"The same 1 GiB of data in pieces of 1 MiB, on a disk of 4 GiB and on one of 2 TiB. In the rows “beside”, both are Anyvisor.",
		races: [
			growth(lab, { from: "raw", to: "qcow2", sizes: raw, ...options }),
			growth(lab, { from: "raw", to: "vmdk", sizes: raw, ...options }),
			growth(lab, { from: "qcow2", to: "raw", sizes: qcow2, ...options }),
		],
	};
}

function vast(lab) {
	const inputs = {
		qcow2: lazily(path.join(lab.folder, "vast.qcow2"), (file) => vastDisk(file, "qcow2")),
		vhdx: lazily(path.join(lab.folder, "vast.vhdx"), (file) => vastDisk(file, "vhdx")),
	};
	return {
		title: "64 TiB",
		about:
			"64 MiB of data, 1 MiB at the beginning of each TiB. qemu-img does not convert such a VHDX in useful time: it reads all 64 TiB of it.",
		races: Object.keys(inputs).flatMap((from) =>
			Object.keys(inputs).map((to) =>
				conversion(lab, {
					name: `64 TiB: ${from} → ${to}`,
					target: { memory: memoryLimit },
					input: inputs[from],
					from,
					to,
					besidePeer: from !== "vhdx",
					verify: (output) => verifyVast(output, kinds[to].driver),
				}),
			),
		),
	};
}

/** Node's own start is the floor of every command, and on a busy machine most of it: it runs in the same race. */
function startUp(lab, images) {
	const floor = { "node -e 0": { command: ["node", "-e", "0"] } };
	const rounds = limits.rounds * 3;
	const command = (name, most, inputs, commands) => ({
		name,
		inputs,
		rows: [{ name, target: { below: most }, pairs: { single: ["Anyvisor", "node -e 0", "qemu-img"] } }],
		measure: async () => {
			const all = { ...(await commands()), ...floor };
			return { contenders: await race(all, { rounds, ...lab.limits, notes: lab.notes }) };
		},
	});
	return {
		title: "Start-up",
		about: "Whole processes. qemu-img runs `qemu-img info` on the same image.",
		single: true,
		races: [
			command("anyvisor --version", 80, [], () => ({ Anyvisor: { command: anyvisor("--version") } })),
			...[...plain, "vmdk streamOptimized"].map((kind) => {
				const input = images[kind];
				return command(`disk info, ${kind}`, 100, [input], async () => ({
					Anyvisor: { command: anyvisor("disk", "info", await input()) },
					"qemu-img": { command: ["qemu-img", "info", "-f", kinds[kind].driver, await input()] },
				}));
			}),
		],
	};
}
