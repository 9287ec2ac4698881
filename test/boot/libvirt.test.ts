import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, chown, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMMAND } from "../cli/support.js";
import { guestFacts, guestMarker, guestTools, testGuest } from "../support/guests.js";
import { because, missing, temporaryFolder } from "../support/tools.js";

const exec = promisify(execFile);

/** libvirt runs as somebody who owns nothing on this machine: so it touches no machine that is there already. */
const NOBODY = 65_534;
const tools = [...guestTools, "libvirtd", "virsh", "setpriv", "qemu-system-x86_64"];
const root = process.getuid?.() === 0;
const all = process.env["ALL_BOOTS"] !== undefined;
const why = !all
	? "(skipped: starts a daemon; npm run test:boot:all)"
	: root
		? because(...tools)
		: "(skipped: only root can run libvirt as somebody else)";

describe.skipIf(!all || !root || missing(...tools))(`libvirt ${why}`, () => {
	let folder = "";
	let daemon: ChildProcess | undefined;
	const asNobody = (command: string, ...args: string[]) =>
		[
			"setpriv",
			[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", command, ...args],
			{ env: { PATH: process.env["PATH"], HOME: folder, XDG_RUNTIME_DIR: path.join(folder, "run") }, cwd: folder },
		] as const;
	const virsh = async (...args: string[]) => {
		const [command, words, options] = asNobody("virsh", "-q", "-c", "qemu:///session", ...args);
		return (await exec(command, words, { ...options, timeout: 120_000 })).stdout;
	};

	beforeAll(async () => {
		folder = await temporaryFolder();
		await chmod(folder, 0o755);
		await mkdir(path.join(folder, "run"));
		for (const owned of [folder, path.join(folder, "run")]) await chown(owned, NOBODY, NOBODY);
		const [command, words, options] = asNobody("libvirtd");
		daemon = spawn(command, words, { ...options, stdio: "ignore" });
		for (let tries = 0; ; tries++) {
			try {
				await virsh("version");
				break;
			} catch (error) {
				if (tries === 20) throw error;
				await delay(500);
			}
		}
	});

	afterAll(async () => {
		daemon?.kill();
	});

	it("validates, defines and starts what is expanded for KVM, and the guest comes up", async () => {
		const guest = await testGuest("initramfs-tools");
		await exec("node", [COMMAND, "expand", guest, "--for", "kvm", "-o", folder], { timeout: 300_000 });
		const packaged = path.join(folder, "kvm");
		const names = await readdir(packaged);
		for (const name of names) await chown(path.join(packaged, name), NOBODY, NOBODY);
		const description = names.find((name) => name.endsWith(".xml")) ?? "";
		const given = await readFile(path.join(packaged, description), "utf8");
		const serial = path.join(folder, "serial.log");
		// What this machine has not: KVM, the place of images, a network, and somebody at the console.
		const adapted = replaced(given, [
			['<domain type="kvm">', '<domain type="qemu">'],
			[/<cpu mode="host-model"\/>/, '<cpu mode="maximum"/>'],
			[/\/var\/lib\/libvirt\/images/g, packaged],
			[/<interface type="network">([^]*?)<source network="default"\/>/, '<interface type="user">$1'],
			['<serial type="pty"/>', `<serial type="file"><source path="${serial}"/></serial>`],
			['<console type="pty"/>', ""],
		]);
		const domain = path.join(folder, "domain.xml");
		await writeFile(domain, adapted);
		await virsh("define", "--validate", domain);
		const name = /<name>(.*)<\/name>/.exec(adapted)?.[1] ?? "";
		await virsh("start", name);
		try {
			const up = await seen(serial, 480_000);
			expect(guestFacts(up)).toMatchObject({
				disks: expect.stringContaining("virtio_blk"),
				nics: expect.stringContaining(":virtio_net"),
			});
		} finally {
			// The guest turns itself off when it has said what it found.
			await virsh("destroy", name).catch(() => undefined);
			await virsh("undefine", name, "--nvram");
		}
	}, 900_000);
});

/** Each of them is in the text. */
function replaced(text: string, changes: readonly (readonly [string | RegExp, string])[]): string {
	return changes.reduce((before, [what, by]) => {
		const after = before.replace(what, by);
		expect(after, `${String(what)} in\n${before}`).not.toBe(before);
		return after;
	}, text);
}

/** The line that the guest prints when it is up. */
async function seen(file: string, patience: number): Promise<string> {
	const end = Date.now() + patience;
	for (;;) {
		const text = await readFile(file, "utf8").catch(() => "");
		const [line] = guestMarker.exec(text) ?? [];
		if (line !== undefined) return line;
		if (Date.now() > end) throw new Error(`the guest did not come up: ${text.slice(-1500)}`);
		await delay(1000);
	}
}
