import { viewOf } from "../../bytes/struct.js";
import { MAGIC } from "./layout.js";

/** Whether a file that begins so is a VMA. */
export const isVma = (head: Uint8Array): boolean => head.length >= 4 && viewOf(head).getUint32(0) === MAGIC;
