import { decoderOf } from "./engine.js";
export const bzip2 = decoderOf(
	"bzip2",
	() => false,
	async () => {
		throw new Error("x");
	},
);
