import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { libvirt } from "../../src/machine/libvirt.js";
import type { Machine } from "../../src/machine/machine.js";
import { run } from "../support/tools.js";
import { encode } from "./samples.js";

/** A folder with stand-ins for VMware's own programs, without which libvirt's reader of .vmx files does not start. */
export async function vmwareStandIns(folder: string): Promise<string> {
	for (const program of ["vmplayer", "vmrun"]) {
		const file = path.join(folder, program);
		await writeFile(file, '#!/bin/sh\necho "VMware Player 15.0.0 build-1 Release"\n');
		await chmod(file, 0o755);
	}
	return folder;
}

/** A .vmx file as libvirt understands it; `standIns` is a folder of {@link vmwareStandIns}. */
export async function asLibvirtReads(vmx: string, standIns: string): Promise<Machine> {
	const xml = await run(
		"env",
		`PATH=${standIns}:${process.env["PATH"]}`,
		"virsh",
		"-c",
		"vmwareplayer:///session",
		"domxml-from-native",
		"vmware-vmx",
		vmx,
	);
	return libvirt.read({ name: "domain.xml", bytes: encode(xml) });
}
