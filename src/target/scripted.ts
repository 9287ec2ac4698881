import type { Machine } from "../machine/machine.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { type DiskKind, type ImportNote, writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Appliance, Layout } from "./target.js";

/** A folder of disks, and of texts that are made from the machine: scripts, descriptors. */
export interface Scripted extends Omit<Layout, "write"> {
	readonly disks: DiskKind & { readonly extension: string };
	/** The texts have a place for the UUID of the firmware. */
	readonly uuid?: true;
	/** Versions of a virtual TPM that they have a place for. */
	readonly tpms?: readonly Machine["tpm"][];
	/** They have none for Secure Boot. */
	readonly withoutSecureBoot?: true;
	/** The files beside the disks, by name. */
	readonly texts: (machine: Machine, appliance: Appliance) => Readonly<Record<string, string>>;
	readonly note: (machine: Machine, appliance: Appliance) => ImportNote;
}

export function scripted({ disks, uuid, tpms, withoutSecureBoot, texts, note, ...layout }: Scripted): Layout {
	return {
		...layout,
		async write(appliance, folder, options) {
			const file = diskFiles(fileBase(appliance.machine.name), disks.extension);
			const machine = attached(appliance, {
				file,
				...(uuid && { uuid }),
				...(tpms && { tpms }),
				...(withoutSecureBoot && { withoutSecureBoot }),
			});
			await writeDisks(appliance, folder, disks, file, options);
			for (const [name, text] of Object.entries(texts(machine, appliance))) await writeText(folder, name, text);
			await writeImportNote(appliance, folder, note(machine, appliance), machine.lost);
		},
	};
}
