import { diskLikeness } from "./disk/likeness.js";
import type { DescriptorFile } from "./machine/machine.js";
import { machineFormatOf, machineFormats } from "./machine/registry.js";
import { DESCRIPTOR_LIMIT } from "./open.js";
import { NUANCE } from "./source/archive-member.js";

/** VirtualBox's settings before the last change, and copies that editors leave. */
const OLD = /-prev$|~$|\.bak$|\.old$/i;
/** The state of a machine of Hyper-V that ran: stored as its description is. */
const STATE = /\.vmrs$/i;

/** Whether a file among others is not the one that is meant, whatever is in it. */
export const isLeftOver = (name: string) => OLD.test(name) || STATE.test(name);

/** Which of several descriptions of one machine tells most: the lowest number. Undefined for what is none. */
export function descriptorRank(file: DescriptorFile): number | undefined {
	const format = machineFormatOf(file);
	return format && machineFormats.indexOf(format);
}

/**
 * As {@link diskLikeness}, and 4 for what describes a machine: the disks beside it are a part of that.
 *
 * @param head the first 4096 bytes, or all of a smaller file
 * @param size in bytes
 * @param path its name counts where it is a copy that was left
 */
export function vmLikeness(head: Uint8Array, size: number, path: string): number {
	const likely = diskLikeness(head, size);
	if (likely >= 2 || size > DESCRIPTOR_LIMIT) return likely;
	const name = path.replace(/^.*\//, "");
	const rank = isLeftOver(name) ? undefined : descriptorRank({ name, bytes: head });
	return rank === undefined ? likely : 4 + (NUANCE * (machineFormats.length - rank)) / (machineFormats.length + 1);
}
