import type { FailureKind } from "../bytes/errors.js";

/** What the shell is told, by kind of failure; the table in docs/exit-codes.md is tested against this one. */
export const exitCodes = {
	/** It did what was asked. */
	ok: 0,
	/** A defect in Anyvisor itself. */
	internal: 1,
	usage: 2,
	damaged: 3,
	unsupported: 4,
	refused: 5,
	"not-found": 6,
	permission: 7,
	"no-space": 8,
	io: 9,
	/** 128 + SIGINT, as shells have it. */
	interrupted: 130,
} as const satisfies Record<FailureKind | "ok" | "internal", number>;
