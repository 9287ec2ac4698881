import { expect, test } from "vitest";
import { diskLikeness } from "../../src/disk/likeness.js";

const head = (text: string, at = 0) =>
	Buffer.concat([Buffer.alloc(at), Buffer.from(text, "latin1"), Buffer.alloc(4096)]).subarray(0, 4096);

test("a disk's mark counts more than partitions, these more than a size, and a letter for nothing", () => {
	const mebibyte = 1 << 20;
	const likeness = [
		diskLikeness(head("QFI\xfb\0\0\0\x03"), 300_001),
		diskLikeness(head("# Disk DescriptorFile\n"), 400),
		diskLikeness(head("\x55\xaa", 510), 10 * 512),
		diskLikeness(head("EFI PART", 512), mebibyte),
		diskLikeness(head(""), mebibyte),
		diskLikeness(head("PK"), mebibyte - 512),
		diskLikeness(head("EFI PART", 512), mebibyte + 1),
		diskLikeness(new Uint8Array(), 0),
	];
	expect(likeness).toEqual([3, 3, 2, 2, 1, 0, 0, 0]);
});
