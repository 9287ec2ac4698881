import { vi } from "vitest";

/** What is imported from now on finds no koffi; to be followed by vi.resetModules(). */
export function withoutKoffi(): void {
	const createRequire = () => () => {
		throw new Error("not installed");
	};
	vi.doMock("node:module", async (original) => ({ ...(await original<object>()), createRequire }));
}

export function withKoffiAgain(): void {
	vi.doUnmock("node:module");
}
