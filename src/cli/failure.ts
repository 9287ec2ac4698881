import { CommanderError } from "commander";
import { AnyvisorError } from "../bytes/errors.js";
import { exitCodes } from "./exit-codes.js";
import { painter, printable, type TextStream, wantsColour } from "./terminal.js";

/** Tells a failure on standard error; the exit code that goes with it. */
export function report(error: unknown, stream: TextStream): number {
	const paint = painter(wantsColour(stream));
	// Names and texts out of images may hold anything.
	const shown = (text: string) => text.split("\n").map(printable).join("\n");
	const say = (message: string) => stream.write(`${paint("red", "anyvisor:")} ${shown(message)}\n`);
	if (error instanceof CommanderError) {
		// A command without its subcommand: the help that was printed says it all.
		if (error.code === "commander.help") return exitCodes.usage;
		say(error.message.replace(/^error: /, ""));
		stream.write("  Try: anyvisor --help\n");
		return exitCodes.usage;
	}
	if (error instanceof AnyvisorError) {
		say(error.message);
		const where = [
			error.file !== undefined && !error.message.includes(error.file) ? `file ${error.file}` : "",
			error.offset === undefined ? "" : `byte ${error.offset} (0x${error.offset.toString(16)})`,
		].filter(Boolean);
		if (where.length > 0) stream.write(`  At: ${shown(where.join(", "))}\n`);
		if (error.hint !== undefined) stream.write(`  Next: ${shown(error.hint)}\n`);
		if (process.env["ANYVISOR_DEBUG"]) stream.write(`${error.stack}\n`);
		return exitCodes[error.kind];
	}
	say(`a defect: ${error instanceof Error ? error.message : String(error)}`);
	stream.write("  Next: run it again with ANYVISOR_DEBUG=1 and report what it prints.\n");
	if (process.env["ANYVISOR_DEBUG"] && error instanceof Error) stream.write(`${error.stack}\n`);
	return exitCodes.internal;
}
