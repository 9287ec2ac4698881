import { damaged } from "../../bytes/errors.js";
import type { Initramfs } from "../guest.js";
import { isModuleFile, moduleName } from "../linux/modules.js";
import { lines } from "../linux/text.js";
import type { LoaderFacts } from "./kmod.js";
import type { Rootfs } from "./rootfs.js";

/*
 * booster has a loader of its own: modules of one kernel lie in one folder, decompressed; an alias is looked for in one
 * file, and what a module needs in the configuration. https://github.com/anatol/booster/blob/master/init/module.go
 */
const directory = "usr/lib/modules";
export const boosterAliases = `${directory}/booster.alias`;
export const boosterConfiguration = "etc/booster.init.yaml";
export const boosterPaths = [boosterAliases, boosterConfiguration] as const;

export async function readBooster(
	rootfs: Rootfs,
	version: string,
	file: string,
): Promise<LoaderFacts & Pick<Initramfs, "forced" | "configuration">> {
	const configuration = rootfs.text(boosterConfiguration) ?? "";
	const { kernel, moduledependencies, modulepostdependencies, modulesforceload } = await parse(configuration, file);
	// Its init stops where this is not the kernel that runs.
	const fits = kernel === undefined || kernel === version;
	const dependencies = new Map<string, readonly string[]>();
	for (const [name, needed] of [...members(moduledependencies), ...members(modulepostdependencies)]) {
		dependencies.set(name, [...(dependencies.get(name) ?? []), ...strings(needed)]);
	}
	const files = fits ? rootfs.list(directory).filter(isModuleFile) : [];
	return {
		configuration,
		modules: new Map(files.map((path) => [moduleName(path), path])),
		dependencies,
		aliases: [...lines(rootfs.text(boosterAliases) ?? "")].flatMap((line) => {
			const space = line.lastIndexOf(" ");
			return space > 0 ? [[line.slice(0, space), moduleName(line.slice(space + 1))] as const] : [];
		}),
		forced: new Set(strings(modulesforceload).map(moduleName)),
		modulesDirectory: directory,
	};
}

async function parse(text: string, file: string): Promise<Readonly<Record<string, unknown>>> {
	const yaml = await import("yaml");
	const fail = (cause?: unknown) =>
		damaged(`${file}: ${boosterConfiguration} in it is not what booster writes`, {
			file,
			hint: "Have the guest write its initramfs anew (booster build).",
			cause,
		});
	let document: unknown;
	try {
		document = yaml.parse(text, { logLevel: "error" });
	} catch (error) {
		throw fail(error);
	}
	if (!isMapping(document)) throw fail();
	for (const key of ["moduledependencies", "modulepostdependencies"]) {
		if (document[key] !== undefined && !isMapping(document[key])) throw fail();
	}
	return document;
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

const members = (value: unknown) => (isMapping(value) ? Object.entries(value) : []);

const strings = (value: unknown) =>
	Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
