import { modulesToAdd } from "../../driver/modules-to-add.js";
import type { Generator, LinuxKernel } from "../../guest/guest.js";
import type { WriteFile } from "../change.js";
import type { Planning } from "../planning.js";

const header = "# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.\n";

/** Where each generator looks for more modules, and how they are written there. */
const dropIns: Record<Generator, { path: string; mode: number; contents: (modules: readonly string[]) => string }> = {
	// A hook rather than a list in modules.d: that list is loaded unconditionally at every boot.
	"initramfs-tools": {
		path: "/etc/initramfs-tools/hooks/anyvisor",
		mode: 0o755,
		contents: (modules) => `#!/bin/sh
${header}if [ "$1" = prereqs ]; then
	exit 0
fi
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ${modules.join(" ")}
`,
	},
	dracut: {
		path: "/etc/dracut.conf.d/anyvisor.conf",
		mode: 0o644,
		// It gives up at the first driver that a kernel does not have, and with it all that follow.
		contents: (modules) => `${header}for anyvisor_driver in ${modules.join(" ")}; do
	if grep -q "/\${anyvisor_driver//_/[-_]}[.]ko" "/lib/modules/\${kernel:-$(uname -r)}/modules.dep"; then
		add_drivers+=" $anyvisor_driver "
	fi
done
`,
	},
	mkinitcpio: {
		path: "/etc/mkinitcpio.conf.d/anyvisor.conf",
		mode: 0o644,
		// Without the question mark a module that another kernel lacks would fail its image.
		contents: (modules) => `${header}MODULES+=(${modules.map((module) => `"${module}?"`).join(" ")})\n`,
	},
};

/** The next kernel update builds a new initramfs: the generator's own configuration must name the drivers too. */
export async function planDropIns({ guest, tree, targets }: Planning): Promise<WriteFile[]> {
	const lacking = guest.kernels.flatMap((kernel) => topmost(kernel, modulesToAdd(guest, kernel, targets)));
	// Whatever a guest calls its modules, its shell must not take a name for anything else.
	const wanted = new Set(lacking.filter((module) => /^\w+$/.test(module)));
	const changes: WriteFile[] = [];
	for (const generator of guest.generators) {
		const { path, mode, contents } = dropIns[generator];
		const current = (await tree.readText(path)) ?? "";
		const words = new Set(current.split(/[\s"()?;]+/));
		const missing = [...wanted].filter((module) => !words.has(module));
		if (missing.length === 0) continue;
		const kept = [...words].filter((word) => guest.kernels.some((kernel) => kernel.modules.paths.has(word)));
		const modules = [...new Set([...kept, ...wanted])].sort();
		changes.push({
			rule: "drop-in",
			action: "write-file",
			path,
			mode,
			contents: contents(modules),
			why: `The next kernel update runs ${generator}, which would leave the added drivers out again.`,
		});
	}
	return changes;
}

/** The generators find dependencies by themselves. */
function topmost({ modules: { dependencies } }: LinuxKernel, modules: readonly string[]): string[] {
	const needed = new Set(modules.flatMap((module) => dependencies.get(module) ?? []));
	return modules.filter((module) => !needed.has(module));
}
