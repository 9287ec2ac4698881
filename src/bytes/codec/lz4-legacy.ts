import { codecOf } from "./engine.js";
export const lz4Legacy = codecOf(
	"lz4-legacy",
	() => false,
	async () => {
		throw new Error("x");
	},
);
