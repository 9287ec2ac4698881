import type { XmlElement } from "../machine/xml-read.js";
import type { OvfView } from "./ovf-view.js";
import type { Occurrence } from "./rule.js";
import type { DiskView, Subject } from "./subject.js";

/** Something in the descriptor. */
export const inOvf = ({ file }: OvfView, element: XmlElement, what: string): Occurrence => ({
	what,
	file,
	line: element.line,
});

/** A text of the package in a sentence: short, and without what a terminal would obey. */
export const quoted = (text: string) => `"${text.replaceAll(/\p{Cc}/gu, "\u{fffd}").slice(0, 80)}"`;

export const when = (broken: boolean, what: string): readonly Occurrence[] => (broken ? [{ what }] : []);

/** The disks of which `broken` says so. What could not be opened is left to {@link unopened}. */
export const disksWhere = (
	{ disks }: Subject,
	broken: (disk: DiskView & { readonly format: string; readonly size: number }) => boolean,
	what: (disk: DiskView & { readonly format: string; readonly size: number }) => string,
): readonly Occurrence[] =>
	disks.flatMap((disk) => {
		const { format, size } = disk;
		if (format === undefined || size === undefined) return [];
		const opened = { ...disk, format, size };
		return broken(opened) ? [{ what: `${quoted(disk.name)} ${what(opened)}`, file: disk.name }] : [];
	});
