import { run } from "../support/tools.js";

/** What libblkid finds in an image's partition tables, in bytes; extended partitions, which hold others, are left out. */
export async function partx(image: string, sectorSize: number) {
	const columns = ["-o", "NR,START,SECTORS,TYPE,SCHEME,UUID", "--raw", "--noheadings"];
	const listed = await run("partx", "--sector-size", String(sectorSize), ...columns, image);
	return listed.split("\n").flatMap((line) => {
		const [number, start, sectors, type, scheme, uuid] = line.split(" ");
		if (number === "" || number === undefined || ["0x5", "0xf", "0x85"].includes(type ?? "")) return [];
		// Whatever the disk's sectors are, partx counts in 512 bytes.
		return [
			{
				number: Number(number),
				at: Number(start) * 512,
				size: Number(sectors) * 512,
				type: type?.replace("0x", "").padStart(2, "0"),
				scheme,
				uuid,
			},
		];
	});
}
