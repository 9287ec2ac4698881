import { AnyvisorError, damaged } from "../bytes/errors.js";
import type { Manifest } from "../machine/ovf/manifest.js";
import type { CheckIntegrity } from "../open.js";
import { type ProgressMode, progress } from "./progress.js";
import { stderr } from "./standard-streams.js";
import { printable } from "./terminal.js";

export interface IntegrityOptions {
	/** Of --verify and --no-verify; undefined where neither was given. */
	readonly verify?: boolean;
	readonly progress?: ProgressMode;
}

/** Checks a package's digests and signature where that was asked for, or what is done reads all of it anyway. */
export function integrityCheck(
	{ verify, progress: mode = "auto" }: IntegrityOptions,
	readsAll: boolean,
): CheckIntegrity | undefined {
	if (verify === false) return tellUnverified;
	if (verify === undefined && !readsAll) return undefined;
	return async (name, read) => {
		const manifest = await read();
		if (manifest !== undefined) return check(manifest, mode);
		if (verify !== true) return;
		throw new AnyvisorError("not-found", `${name} has no manifest, so nothing of it can be verified`, {
			file: name,
			hint: "Leave out --verify.",
		});
	};
}

const say = (sentence: string) => stderr.write(`anyvisor: ${printable(sentence)}\n`);

const tellUnverified: CheckIntegrity = async (name, read) => {
	const manifest = await read().catch((error: unknown) => error);
	if (manifest !== undefined) say(`WARNING: ${name} is taken as it is; its manifest is not checked (--no-verify).`);
};

async function check(manifest: Manifest, mode: ProgressMode): Promise<void> {
	const certificate = await manifest.certificate();
	if (certificate !== undefined) {
		const { verifySignature } = await import("../source/signature.js");
		const { subject, issuer, selfSigned, expired, validTo } = verifySignature(manifest, certificate);
		const whose = selfSigned ? "by its own key" : `by ${issuer}`;
		const until = expired ? `, which expired on ${validTo}` : "";
		if (mode !== "json") {
			say(`${manifest.name} is signed by ${subject}, certified ${whose}${until}; whether to trust that is up to you.`);
		}
	}
	if (manifest.unlisted.length > 0) {
		const names = manifest.unlisted.join(", ");
		if (certificate !== undefined) {
			throw damaged(`${manifest.name} is signed, and does not list ${names}`, {
				file: manifest.name,
				hint: "Somebody may have added it later: get the package again, or add --no-verify to take it as it is.",
			});
		}
		if (mode !== "json") say(`${manifest.name} does not list ${names}, so it is not checked.`);
	}
	const bar = progress(mode);
	bar.start("verifying", await manifest.size());
	await manifest.verify({ onProgress: (bytes) => bar.advance(bytes) });
	bar.finish();
}
