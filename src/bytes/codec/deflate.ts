import { onNode } from "../platform.js";
import { codecOf } from "./engine.js";

/** Raw DEFLATE without header or checksum (RFC 1951): qcow2 clusters, and what zlib and gzip wrap. */
export const deflate = codecOf("deflate", async () =>
	onNode ? (await import("./node/deflate.js")).deflateEngine() : (await import("./portable/deflate.js")).deflateEngine,
);
