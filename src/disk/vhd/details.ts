import { wordsOf } from "../../bytes/words.js";
import type { DiskDetails } from "../disk.js";
import type { FooterFields } from "./header.js";
import { EPOCH } from "./layout.js";

/** Programs by the mark that they leave in the footer; there is no list of them. */
const CREATORS: Readonly<Record<string, string>> = wordsOf({
	"vpc ": "Microsoft Virtual PC",
	"vs  ": "Microsoft Virtual Server",
	"win ": "Windows or Hyper-V",
	d2v: "Disk2vhd",
	"d2v ": "Disk2vhd",
	qemu: "QEMU",
	qem2: "QEMU",
	vbox: "VirtualBox",
	tap: "XenServer",
	CXS: "XenServer",
});

const HOSTS: Readonly<Record<string, string>> = wordsOf({ Wi2k: "Windows", "Mac ": "macOS" });

/** What the footer tells beside the size. */
export function footerDetails(footer: FooterFields): DiskDetails {
	const { creatorApplication, creatorVersion, creatorHostOs, uniqueId, timeStamp, savedState } = footer;
	return {
		creator: CREATORS[creatorApplication] ?? creatorApplication.trim(),
		creatorVersion: `${Math.floor(creatorVersion / 65536)}.${creatorVersion % 65536}`,
		creatorHost: HOSTS[creatorHostOs] ?? creatorHostOs.trim(),
		created: new Date((EPOCH + timeStamp) * 1000).toISOString(),
		uniqueId,
		savedState: savedState !== 0,
	};
}
