import type { Hypervisor } from "../hypervisor/hypervisor.js";
import type { InterfaceVerdict } from "./verdict.js";

/**
 * What an operator wants to know of an interface.
 *
 * @param after as it will be once the guest is prepared
 */
export function interfaceSentence(
	before: InterfaceVerdict,
	after: InterfaceVerdict | undefined,
	{ cards }: Hypervisor,
): string {
	if (before.state === "kept") {
		const called = before.name === null || before.name === before.interface ? "" : `, on ${before.name}`;
		return `${subject(before)} stays as it is${called}.`;
	}
	const problem = problemOf(before);
	if (after?.state === "kept") return `${problem} Prepared, it stays ${before.interface}.`;
	return [problem, ...adviceFor(after ?? before, cards?.toKeepMacs)].join(" ");
}

/** The interface with what it is configured to: `ens192 (static 10.0.0.5/24)`. */
function subject({ interface: name, method, addresses }: InterfaceVerdict): string {
	const how = method === "dhcp" ? ["DHCP"] : method === "static" ? ["static"] : [];
	const details = [...how, ...addresses.slice(0, 2)].join(" ");
	return `${name}${details === "" ? "" : ` (${details}${addresses.length > 2 ? ", …" : ""})`}`;
}

function problemOf(verdict: InterfaceVerdict): string {
	const it = subject(verdict);
	switch (verdict.state) {
		case "kept":
		case "renamed":
			return verdict.card === null
				? `No interface will fit the configuration for ${it}: the first is called ${verdict.name}.`
				: `The interface configured as ${it} will be called ${verdict.name}: the configuration will not apply.`;
		case "unknown":
			return `The interface configured as ${it} may be called otherwise: ${verdict.why ?? "nothing is known"}.`;
		case "mac":
			return `The configuration for ${it} asks for a MAC that its card will not have there.`;
		case "no-card":
			return `The machine has no network card for ${it}.`;
	}
}

function adviceFor({ state, card, name }: InterfaceVerdict, toKeepMacs: string | undefined): string[] {
	switch (state) {
		case "mac":
			return [toKeepMacs ?? "Give the card that MAC when the machine is created."];
		case "renamed":
			return card === null ? [] : [`Configure ${name} as well before it moves.`];
		case "unknown":
			return ["Have a console at hand when it starts there for the first time."];
		case "kept":
		case "no-card":
			return [];
	}
}
