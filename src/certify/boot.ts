import { spawn } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { AnyvisorError } from "../bytes/errors.js";
import type { BootModel } from "./models.js";

/** What is booted: QEMU's name of the format, and the file, or a range of it (a disk inside an OVA). */
export interface BootImage {
	readonly format: "raw" | "qcow2" | "vmdk" | "vpc" | "vhdx";
	readonly file: string;
	/** Bytes; absent: the whole file. */
	readonly range?: { readonly at: number; readonly size: number };
}

export interface BootOptions {
	/** Matches the console when the guest is up. */
	readonly marker: RegExp;
	/** Milliseconds; a guest on an emulated CPU takes 30 to 60 seconds. */
	readonly timeout?: number;
	/** UEFI firmware, where the model asks for it. */
	readonly firmware?: { readonly code: string; readonly variables: string };
	readonly signal?: AbortSignal;
}

/**
 * `up`: the marker was seen. `initramfs`: the initramfs gave up looking for the root. `panic`: the kernel did. `no-boot`:
 * the firmware or the boot loader found nothing to start. `exit`: the machine went off before any of these.
 */
export type BootResult = "up" | "initramfs" | "panic" | "no-boot" | "timeout" | "exit";

export interface BootOutcome {
	readonly result: BootResult;
	/** The line that decided it; the end of the console otherwise. */
	readonly evidence: string;
	readonly seconds: number;
	/** All that the serial console said. */
	readonly console: string;
}

/** Debian's OVMF, for guests without Secure Boot. */
const ovmf = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };

const signs: readonly { readonly result: BootResult; readonly pattern: RegExp }[] = [
	{ result: "panic", pattern: /Kernel panic[^\r\n]*/ },
	{
		result: "initramfs",
		pattern:
			/ALERT![^\r\n]*[\r\n]|\(initramfs\)|Entering emergency mode[^\r\n]*|dracut:\/#|dracut Warning: Could not boot/,
	},
	{ result: "no-boot", pattern: /No bootable device[^\r\n]*|grub rescue>|No bootable option[^\r\n]*|Shell> / },
];

/** Longest console that is kept, in characters; a guest that prints more is in a loop. */
const consoleLimit = 4 << 20;

/**
 * Boots an image under a device model and watches its serial console until the outcome is clear. The image is opened
 * with a throw-away layer and never written.
 *
 * The CPU is always emulated: a /dev/kvm that exists but cannot run the guest would look like a guest that does not boot.
 */
export async function boot(image: BootImage, model: BootModel, options: BootOptions): Promise<BootOutcome> {
	const scratch = await mkdtemp(path.join(tmpdir(), "anyvisor-boot-"));
	try {
		const firmware = model.firmware === "uefi" ? await uefi(scratch, options.firmware ?? ovmf) : [];
		return await watch([...machineArguments(image, model), ...firmware], options);
	} finally {
		await rm(scratch, { recursive: true, force: true });
	}
}

/** UEFI variables start out empty, as on a newly imported VM, and are thrown away. */
async function uefi(scratch: string, { code, variables }: { code: string; variables: string }): Promise<string[]> {
	const copy = path.join(scratch, "variables.fd");
	await copyFile(variables, copy);
	return [
		...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${escaped(code)}`],
		...["-drive", `if=pflash,format=raw,unit=1,file=${escaped(copy)}`],
	];
}

/** QEMU's option syntax doubles commas. */
const escaped = (value: string) => value.replaceAll(",", ",,");

function machineArguments(image: BootImage, { machine, devices, smbios }: BootModel): string[] {
	const file = { driver: "file", filename: path.resolve(image.file), "read-only": true };
	const protocol = image.range
		? { driver: "raw", offset: image.range.at, size: image.range.size, "read-only": true, file }
		: file;
	const source = JSON.stringify({ driver: image.format, "read-only": true, file: protocol });
	return [
		...["-accel", "tcg,thread=multi", "-machine", machine, "-cpu", "max", "-smp", "1", "-m", "512"],
		...["-nodefaults", "-display", "none", "-vga", "std", "-no-reboot"],
		...["-serial", "stdio", "-monitor", "none"],
		...["-netdev", "user,id=net,restrict=on"],
		...["-drive", `if=none,id=boot,snapshot=on,file=json:${escaped(source)}`],
		...devices.flatMap((device) => ["-device", device]),
		...(smbios
			? [
					"-smbios",
					`type=1,manufacturer=${escaped(smbios.manufacturer)},product=${escaped(smbios.product)}${smbios.serial ? `,serial=${smbios.serial}` : ""}`,
				]
			: []),
	];
}

function watch(qemu: readonly string[], { marker, timeout = 240_000, signal }: BootOptions): Promise<BootOutcome> {
	return new Promise((resolve, reject) => {
		const began = performance.now();
		let console = "";
		let errors = "";
		const child = spawn("qemu-system-x86_64", qemu, { stdio: ["ignore", "pipe", "pipe"] });
		const finish = (result: BootResult, evidence: string) => {
			clearTimeout(timer);
			child.kill("SIGKILL");
			resolve({ result, evidence, seconds: (performance.now() - began) / 1000, console });
		};
		const timer = setTimeout(() => finish("timeout", console.slice(-300)), timeout);
		signal?.addEventListener("abort", () => {
			clearTimeout(timer);
			child.kill("SIGKILL");
			reject(new AnyvisorError("interrupted", "stopped on request"));
		});

		child.stderr.setEncoding("utf8").on("data", (text: string) => {
			errors += text;
		});
		child.stdout.setEncoding("latin1").on("data", (text: string) => {
			console += text;
			// The console is scanned from a little before what is new, so that a line in two pieces is seen.
			const recent = console.slice(-(text.length + 4096));
			const up = marker.exec(recent);
			if (up) return finish("up", up[0].trim());
			for (const { result, pattern } of signs) {
				const found = pattern.exec(recent);
				if (found) return finish(result, found[0].trim());
			}
			if (console.length > consoleLimit) finish("timeout", "the console never ends");
		});
		child.on("error", (cause) => {
			clearTimeout(timer);
			reject(
				new AnyvisorError("not-found", "qemu-system-x86_64 cannot be started", {
					hint: "Install QEMU, for example with: apt-get install qemu-system-x86 ovmf",
					cause,
				}),
			);
		});
		child.on("close", (code) => {
			clearTimeout(timer);
			if (console === "" && code !== 0) reject(new AnyvisorError("io", `QEMU failed: ${errors.trim()}`));
			else finish("exit", console.slice(-300));
		});
	});
}
