import { decoderOf } from "./engine.js";
export const lz4 = decoderOf(
	"lz4",
	() => false,
	async () => {
		throw new Error("x");
	},
);
