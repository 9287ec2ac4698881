import { viewOf } from "../../bytes/struct.js";
import { COWD_MAGIC, isDescriptor, SESPARSE_MAGIC, SPARSE_MAGIC } from "./mark.js";

type Kind = "descriptor" | "hosted" | "COWD" | "seSparse";

/** Which kind of VMDK a file is that begins with `head`; undefined where it is none. */
export function kindOf(head: Uint8Array): Kind | undefined {
	if (head.length < 8) return undefined;
	const magic = viewOf(head).getUint32(0, true);
	if (magic === SPARSE_MAGIC) return "hosted";
	if (magic === COWD_MAGIC) return "COWD";
	if (viewOf(head).getBigUint64(0, true) === SESPARSE_MAGIC) return "seSparse";
	return isDescriptor(head) ? "descriptor" : undefined;
}
