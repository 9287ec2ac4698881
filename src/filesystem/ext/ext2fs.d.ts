/** The Emscripten module inside npm `ext2fs`, as far as it is used here; the package brings no types. */
declare module "ext2fs/lib/libext2fs.js" {
	const module: {
		readonly HEAPU8: Uint8Array;
		/** True once the module can be called. */
		readonly calledRun?: boolean;
		onRuntimeInitialized?: () => void;
		/** Called with the reason when the module gave up; it cannot be used any more. */
		onAbort?: (reason: unknown) => void;
		_malloc(length: number): number;
		_free(pointer: number): void;
		/** Makes an object known to the C side, which calls its methods; returns the number that stands for it. */
		setObject(object: object): number;
		deleteObject(id: number): void;
		ccall(
			name: string,
			result: "number",
			types: readonly "number"[],
			values: readonly number[],
			options: { async: true },
		): Promise<number>;
	};
	export default module;
}
