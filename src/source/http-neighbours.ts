import type { ByteSource } from "../bytes/source.js";
import { leadOf, type OpenNeighbour, outside, withoutCredentials } from "./confine.js";
import { type HttpOptions, openUrl } from "./http.js";
import { parseUrl, shownUrl } from "./http-request.js";

export interface UrlNeighbourOptions {
	/** As for a folder, with URLs in place of paths. */
	readonly allow?: readonly string[] | undefined;
	readonly http?: HttpOptions | undefined;
}

/**
 * Opens what lies beside a URL, and in folders there, by the names that a disk image mentions. Everything else is
 * `refused`, unless the user allows it: an absolute path is one on the same server, never one of this computer.
 */
export function urlNeighbours(url: string, { allow = [], http }: UrlNeighbourOptions = {}): OpenNeighbour {
	const folder = new URL(".", parseUrl(url));
	const limit = shownUrl(folder);
	const open = (name: string): Promise<ByteSource> => openUrl(new URL(encoded(name), folder).href, http);

	const elsewhere = async (path: string, mention: string): Promise<ByteSource> => {
		const isUrl = /^https?:\/\//i.test(path);
		if (!isUrl && /^[A-Za-z]:/.test(path)) throw outside(mention, limit);
		const target = isUrl ? parseUrl(path) : new URL(encoded(path), folder);
		const plain = withoutCredentials(target.href);
		if (!isUrl && target.href.startsWith(folder.href)) return openUrl(target.href, http);
		if (!allow.some((each) => each === mention || each === path || resolved(each, folder) === plain)) {
			throw outside(mention, limit, plain);
		}
		// What logs in to this server is nothing for another one.
		return openUrl(target.href, target.origin === folder.origin ? http : { ...http, headers: undefined });
	};
	const neighbour = async (name: string) => {
		const { path, inside } = leadOf("", name);
		return inside ? open(path) : elsewhere(path, name);
	};
	return Object.assign(neighbour, { elsewhere });
}

const encoded = (path: string) => path.split("/").map(encodeURIComponent).join("/");

function resolved(allowed: string, folder: URL): string | undefined {
	if (/^https?:\/\//i.test(allowed))
		return URL.canParse(allowed) ? withoutCredentials(new URL(allowed).href) : undefined;
	return withoutCredentials(new URL(encoded(allowed), folder).href);
}
