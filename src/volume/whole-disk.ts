import type { VolumeScheme } from "./volume.js";

/** No partition table: the disk itself carries a file system, or nothing. */
export const wholeDisk: VolumeScheme = {
	id: "whole-disk",
	read(disk) {
		return Promise.resolve([
			{ number: 0, scheme: "whole-disk", at: 0, size: disk.size, type: "", bootable: false, source: disk },
		]);
	},
};
