import type { FileType } from "./filesystem.js";

/** The file type in a Unix mode: https://man7.org/linux/man-pages/man7/inode.7.html */
export const FileMode = { MASK: 0xf000, DIRECTORY: 0x4000, REGULAR: 0x8000, LINK: 0xa000 } as const;

export function typeOfMode(mode: number): FileType {
	switch (mode & FileMode.MASK) {
		case FileMode.REGULAR:
			return "file";
		case FileMode.DIRECTORY:
			return "directory";
		case FileMode.LINK:
			return "link";
		default:
			return "other";
	}
}
