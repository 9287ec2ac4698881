import { decoderOf } from "./engine.js";
export const xz = decoderOf(
	"xz",
	() => false,
	async () => {
		throw new Error("x");
	},
);
