import type { FailureKind } from "../bytes/errors.js";

/** Ends that are no failures of a command, and the one that is Anyvisor's own. */
type Outcome = "ok" | "differ" | "would-refuse" | "check-errors" | "check-leaks" | "internal";

/** What the shell is told, by kind of failure; the table in docs/exit-codes.md is tested against this one. */
export const exitCodes = {
	/** It did what was asked. */
	ok: 0,
	/** `disk compare`: the disks differ. As cmp and qemu-img have it. */
	differ: 1,
	/** `lint`: an importer would refuse the package. As linters have it. */
	"would-refuse": 1,
	usage: 2,
	damaged: 3,
	unsupported: 4,
	refused: 5,
	"not-found": 6,
	permission: 7,
	"no-space": 8,
	io: 9,
	/** `disk check`: data is lost or at risk. */
	"check-errors": 10,
	/** `disk check`: only space is wasted. */
	"check-leaks": 11,
	/** A defect in Anyvisor itself; EX_SOFTWARE in sysexits.h. */
	internal: 70,
	/** 128 + SIGINT, as shells have it. */
	interrupted: 130,
} as const satisfies Record<FailureKind | Outcome, number>;
