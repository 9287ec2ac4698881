// How conversions are asked for, of Anyvisor and of its peer.
import { command } from "../../scripts/command.mjs";
import { run } from "./measure.mjs";

export const anyvisor = (...args) => ["node", command, ...args];

/** For each kind of image: Anyvisor's options, qemu-img's options, qemu-img's name of the format. */
export const kinds = {
	raw: { suffix: "raw", ours: [], peer: [], driver: "raw" },
	qcow2: { suffix: "qcow2", ours: [], peer: [], driver: "qcow2" },
	vmdk: vmdk("monolithicSparse"),
	vhd: { suffix: "vhd", ours: ["--variant", "dynamic"], peer: ["-o", "subformat=dynamic"], driver: "vpc" },
	vhdx: { suffix: "vhdx", ours: ["--variant", "dynamic"], peer: ["-o", "subformat=dynamic"], driver: "vhdx" },
	vdi: { suffix: "vdi", ours: [], peer: [], driver: "vdi" },
	"vmdk monolithicFlat": vmdk("monolithicFlat"),
	"vmdk streamOptimized": vmdk("streamOptimized"),
	"qcow2 zlib": compressedQcow2("zlib"),
	"qcow2 zstd": compressedQcow2("zstd"),
};

export const plain = ["raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"];

function vmdk(variant) {
	return { suffix: "vmdk", ours: ["--variant", variant], peer: ["-o", `subformat=${variant}`], driver: "vmdk" };
}

function compressedQcow2(method) {
	return {
		suffix: "qcow2",
		ours: ["--variant", "compressed", "--compression", method],
		peer: ["-c", "-o", `compression_type=${method}`],
		driver: "qcow2",
	};
}

export const ourConvert = (to, input, output, ...extra) =>
	anyvisor("convert", input, output, ...kinds[to].ours, ...extra);

export const peerConvert = (from, to, input, output, ...extra) => [
	...["qemu-img", "convert", "-f", kinds[from].driver, "-O", kinds[to].driver],
	...kinds[to].peer,
	...extra,
	input,
	output,
];

/** Converts by the peer, so that both contenders read somebody else's image. */
export async function convertByPeer(from, to, input, output) {
	const [command, ...args] = peerConvert(from, to, input, output);
	await run(command, args);
}

/** Throws where an image differs from its source. */
export const compared = (from, to, source, output) =>
	run("qemu-img", ["compare", "-f", kinds[from].driver, "-F", kinds[to].driver, source, output]);
