import { AnyvisorError } from "../bytes/errors.js";
import type { WriteOptions } from "./disk.js";

/** The variant to write: the first of `variants` where the caller names none, a `usage` error where it is unknown. */
export function variantOf<V extends string>(
	format: string,
	{ variant }: WriteOptions,
	variants: readonly [V, ...V[]],
): V {
	if (variant === undefined) return variants[0];
	const known = variants.find((known) => known === variant);
	if (known !== undefined) return known;
	throw new AnyvisorError("usage", `${format} has no variant "${variant}"`, {
		hint: `Use one of: ${variants.join(", ")}.`,
	});
}
