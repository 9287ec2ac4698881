import { disksWhere, quoted } from "../occurrences.js";
import type { Importer } from "../rule.js";

const GIBIBYTE = 2 ** 30;
const SOURCE = "https://cloud.google.com/compute/docs/import/import-existing-image#requirements_for_the_image_file";
const MADE_SO = "tar --format=oldgnu -Sczf IMAGE.tar.gz disk.raw";

export const gcp: Importer = {
	id: "gcp",
	title: "Google Cloud",
	takes: ["tarball", "disk", "ova", "ovf"],
	documentation: "https://cloud.google.com/compute/docs/import/import-existing-image",
	rules: [
		{
			id: "gcp/size",
			severity: "refuses",
			grade: "documented",
			reason: "The size of a raw disk is a whole number of GiB.",
			source: SOURCE,
			fix: "anyvisor convert DISK disk.raw --resize SIZE, with a size of whole GiB such as 20G.",
			find: (subject) => {
				const whole = (size: number) => size % GIBIBYTE === 0;
				const { tarball } = subject;
				if (tarball !== undefined) {
					return whole(tarball.size) ? [] : [{ what: `the disk has ${tarball.size} bytes, which are not whole GiB` }];
				}
				return subject.kind === "disk"
					? disksWhere(
							subject,
							({ format, size }) => format === "raw" && !whole(size),
							({ size }) => `has ${size} bytes, which are not whole GiB`,
						)
					: [];
			},
		},
		{
			id: "gcp/disk-raw",
			severity: "refuses",
			grade: "documented",
			reason: "The disk in the archive is called disk.raw.",
			source: "https://cloud.google.com/solutions/image-management-best-practices",
			fix: `Rename the disk, and pack it: ${MADE_SO}.`,
			find: ({ tarball }) =>
				tarball === undefined || tarball.member === "disk.raw"
					? []
					: [{ what: `the first member is called ${quoted(tarball.member)}` }],
		},
		{
			id: "gcp/tar-format",
			severity: "refuses",
			grade: "documented",
			reason: "The archive is in GNU tar's old format.",
			source: SOURCE,
			fix: `${MADE_SO}.`,
			find: ({ tarball }) =>
				tarball === undefined || tarball.format === "gnu" ? [] : [{ what: `the archive is a ${tarball.format} tar` }],
		},
		{
			id: "gcp/packed",
			severity: "warns",
			grade: "documented",
			reason:
				"A raw disk is uploaded inside of a compressed tar; other formats go through Migrate to Virtual Machines.",
			source: "https://cloud.google.com/sdk/gcloud/reference/compute/migration/image-imports/create",
			fix: `${MADE_SO}.`,
			find: (subject) =>
				subject.kind === "disk"
					? disksWhere(
							subject,
							({ format }) => format === "raw",
							() => "is raw and not in a tar",
						)
					: [],
		},
	],
};
