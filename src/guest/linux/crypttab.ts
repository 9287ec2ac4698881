import { lines, words } from "./text.js";

/** What opens into what: `device` into `/dev/mapper/name`. */
export interface CrypttabEntry {
	readonly name: string;
	readonly device: string;
}

/** /etc/crypttab: https://man7.org/linux/man-pages/man5/crypttab.5.html */
export function parseCrypttab(text: string): readonly CrypttabEntry[] {
	const entries: CrypttabEntry[] = [];
	for (const line of lines(text)) {
		const [name, device] = words(line);
		if (name !== undefined && device !== undefined && !name.startsWith("#")) entries.push({ name, device });
	}
	return entries;
}

/**
 * What the command line has opened in the initramfs: by systemd and dracut, by mkinitcpio, by mkinitfs.
 * https://www.freedesktop.org/software/systemd/man/latest/systemd-cryptsetup-generator.html,
 * https://wiki.archlinux.org/title/Dm-crypt/System_configuration
 */
export function cryptParameters(cmdline: string): readonly CrypttabEntry[] {
	const entries: CrypttabEntry[] = [];
	let root: string | undefined;
	let name = "root";
	for (const word of words(cmdline)) {
		const [, uuid, named] = /^(?:rd\.)?luks\.name=(?:UUID=)?([^=]+)=(.+)$/i.exec(word) ?? [];
		if (uuid !== undefined && named !== undefined) entries.push({ name: named, device: `UUID=${uuid}` });
		const [, bare] = /^(?:rd\.)?luks\.uuid=(?:UUID=)?(?:luks-)?([^=]+)$/i.exec(word) ?? [];
		if (bare !== undefined) entries.push({ name: `luks-${bare}`, device: `UUID=${bare}` });
		const [, device, mapped] = /^cryptdevice=(.+?):([^:]+)(?::.*)?$/.exec(word) ?? [];
		if (device !== undefined && mapped !== undefined) entries.push({ name: mapped, device });
		root = /^cryptroot=(.+)$/.exec(word)?.[1] ?? root;
		name = /^cryptdm=(.+)$/.exec(word)?.[1] ?? name;
	}
	return root === undefined ? entries : [...entries, { name, device: root }];
}
