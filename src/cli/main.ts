#!/usr/bin/env node
import { writeSync } from "node:fs";
import { version } from "./version.js";

const words = process.argv.slice(2);

/** The one answer for which nothing else has to be loaded, not even Node's streams. */
function answered(): boolean {
	if (words.length !== 1 || (words[0] !== "--version" && words[0] !== "-V")) return false;
	try {
		writeSync(1, `${version()}\n`);
		return true;
	} catch {
		// The program meets the same, and says so.
		return false;
	}
}

// No top-level await: the bundle is CommonJS.
if (!answered()) {
	void import("./compiling.js")
		.then(({ prepareCompiler }) => {
			prepareCompiler(words[0], version());
			return import("./program.js");
		})
		.then(({ runProgram }) => runProgram(words, version()));
}
