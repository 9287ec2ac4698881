#!/usr/bin/env node
import { version } from "./version.js";

const words = process.argv.slice(2);
// The one answer for which nothing else has to be loaded.
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) process.stdout.write(`${version()}\n`);
// No top-level await: the bundle is CommonJS.
else
	void import("./compiling.js")
		.then(({ prepareCompiler }) => {
			prepareCompiler(words[0], version());
			return import("./program.js");
		})
		.then(({ runProgram }) => runProgram(words, version()));
