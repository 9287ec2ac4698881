import { createRequire } from "node:module";
import type Koffi from "koffi";

/** A drive as Xen's own library understands it. */
interface XlDisk {
	readonly target: string | null;
	readonly vdev: string;
	/** Of libxl_disk_format: 1 qcow, 2 qcow2, 3 vhd, 4 raw, 5 empty, 6 qed. */
	readonly format: number;
	readonly writable: boolean;
	readonly cdrom: boolean;
}

/** What xl reads configurations with, of Debian's libxenmisc4.17; undefined where it, or koffi, is not there. */
export interface Xlutil {
	readonly text: (config: string, key: string) => string | undefined;
	readonly number: (config: string, key: string) => number | undefined;
	readonly list: (config: string, key: string) => readonly string[] | undefined;
	readonly disks: (config: string) => readonly XlDisk[];
}

export const xlutilReason = "(skipped: libxenmisc4.17 not installed; see scripts/system-packages.sh)";

/**
 * Where the fields of `libxl_device_disk` lie on a 64-bit machine: domid, domname, pdev_path, vdev, backend, format, script,
 * removable, readwrite, is_cdrom.
 */
const AT = { target: 16, vdev: 24, format: 36, writable: 52, cdrom: 56 } as const;
/** More than the structure has. */
const ROOM = 1024;

export function loadXlutil(): Xlutil | undefined {
	let koffi: typeof Koffi;
	let library: ReturnType<typeof Koffi.load>;
	try {
		koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
		library = koffi.load("libxlutil.so.4.17");
	} catch {
		return undefined;
	}
	const libc = koffi.load("libc.so.6");
	const errors = libc.func("void *fdopen(int fd, const char *mode)")(2, "w") as unknown;
	const init = library.func("void *xlu_cfg_init(void *report, const char *name)");
	const read = library.func("int xlu_cfg_readdata(void *cfg, const char *data, int length)");
	const destroy = library.func("void xlu_cfg_destroy(void *cfg)");
	const getText = library.func("int xlu_cfg_get_string(void *cfg, const char *n, _Out_ const char **value, int quiet)");
	const getNumber = library.func("int xlu_cfg_get_long(void *cfg, const char *n, _Out_ long *value, int quiet)");
	const getList = library.func(
		"int xlu_cfg_get_list(void *cfg, const char *n, _Out_ void **list, _Out_ int *entries, int quiet)",
	);
	const getItem = library.func("const char *xlu_cfg_get_listitem(void *list, int entry)");
	const parseDisk = library.func("int xlu_disk_parse(void *cfg, int count, const char **specs, void *disk)");

	const withConfig = <T>(config: string, use: (cfg: unknown) => T): T => {
		const cfg = init(errors, "config") as unknown;
		try {
			const wrong = read(cfg, config, Buffer.byteLength(config)) as number;
			if (wrong !== 0) throw new Error(`xl cannot read it: error ${wrong}`);
			return use(cfg);
		} finally {
			destroy(cfg);
		}
	};
	const listOf = (cfg: unknown, key: string) => {
		const [list, entries] = [[null], [0]];
		if (getList(cfg, key, list, entries, 1) !== 0) return undefined;
		return Array.from({ length: entries[0] ?? 0 }, (_, i) => String(getItem(list[0], i)));
	};
	return {
		text: (config, key) =>
			withConfig(config, (cfg) => {
				const value = [null];
				return getText(cfg, key, value, 1) === 0 ? String(value[0]) : undefined;
			}),
		number: (config, key) =>
			withConfig(config, (cfg) => {
				const value = [0];
				return getNumber(cfg, key, value, 1) === 0 ? Number(value[0]) : undefined;
			}),
		list: (config, key) => withConfig(config, (cfg) => listOf(cfg, key)),
		disks: (config) =>
			withConfig(config, (cfg) =>
				(listOf(cfg, "disk") ?? []).map((spec): XlDisk => {
					const disk = Buffer.alloc(ROOM);
					const wrong = parseDisk(cfg, 1, [spec], disk) as number;
					if (wrong !== 0) throw new Error(`xl cannot read the disk ${spec}: error ${wrong}`);
					const pointed = (at: number) => koffi.decode(disk, at, "const char *") as string | null;
					return {
						target: pointed(AT.target),
						vdev: pointed(AT.vdev) ?? "",
						format: disk.readInt32LE(AT.format),
						writable: disk.readInt32LE(AT.writable) !== 0,
						cdrom: disk.readInt32LE(AT.cdrom) !== 0,
					};
				}),
			),
	};
}
