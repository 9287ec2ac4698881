import { promisify } from "node:util";
import { constants, deflateRaw, type InputType, type ZlibOptions } from "node:zlib";

const compress: (input: InputType, options: ZlibOptions) => Promise<Uint8Array> = promisify(deflateRaw);

export const deflatePart = (input: Uint8Array, level: number): Promise<Uint8Array> =>
	compress(input, { level, finishFlush: constants.Z_FULL_FLUSH });
