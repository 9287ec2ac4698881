import * as fc from "fast-check";
import { afterAll } from "vitest";
import { removeTemporaryFolders } from "./tools.js";

afterAll(removeTemporaryFolders);

// File system tools live there, and not every user has it on the path.
process.env["PATH"] += ":/usr/sbin:/sbin";

/**
 * Properties are tried on the same values every time, so that a change, not chance, decides whether tests pass. To look
 * for what these values miss: `FC_SEED=$RANDOM npm run test:unit`.
 */
fc.configureGlobal({ seed: Number(process.env["FC_SEED"] ?? 20_261_122) });
