import { element, type Markup } from "../../machine/xml-write.js";

/** A value of XML-RPC. XenServer writes whole numbers as strings, since XML-RPC's own have 32 bits. */
export type RpcValue = string | number | boolean | Date | Double | readonly RpcValue[] | RpcStruct;

export interface RpcStruct {
	readonly [member: string]: RpcValue;
}

/** A number that is sent as floating point. */
export class Double {
	readonly value: number;

	constructor(value: number) {
		this.value = value;
	}
}

/** http://xmlrpc.com/spec.md */
export function rpcValue(value: RpcValue): Markup {
	if (typeof value === "string" || typeof value === "number") return element("value", {}, String(value) || undefined);
	return element("value", {}, typed(value));
}

function typed(value: Exclude<RpcValue, string | number>): Markup {
	if (typeof value === "boolean") return element("boolean", {}, value ? 1 : 0);
	if (value instanceof Date) {
		const basic = value.toISOString().replaceAll(/-|\.\d+/g, "");
		return element("dateTime.iso8601", {}, basic);
	}
	if (value instanceof Double) return element("double", {}, value.value);
	if (isList(value)) return element("array", {}, element("data", {}, ...value.map(rpcValue)));
	const members = Object.entries(value).map(([name, member]) =>
		element("member", {}, element("name", {}, name), rpcValue(member)),
	);
	return element("struct", {}, ...members);
}

const isList = (value: object): value is readonly RpcValue[] => Array.isArray(value);
