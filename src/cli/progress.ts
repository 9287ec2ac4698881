import { now } from "../source/now.js";
import type { progressModes } from "./options.js";
import { stderr } from "./standard-streams.js";
import { humanBytes, humanSeconds, type TextStream } from "./terminal.js";

export type ProgressMode = (typeof progressModes)[number];

/** Tells how a long command is getting on; always on standard error, so that standard output stays clean. */
export interface Progress {
	/** Starts a step of `total` bytes. */
	start(step: string, total: number): void;
	/** More bytes are done. */
	advance(bytes: number): void;
	/** The step is complete. */
	finish(): void;
}

/** `auto`: a line that rewrites itself where standard error is a terminal, nothing elsewhere. `json`: a line per event. */
export function progress(mode: ProgressMode, stream: TextStream = stderr): Progress {
	if (mode === "json") return reporter(500, (state) => stream.write(`${JSON.stringify(state)}\n`));
	if (mode === "none" || !stream.isTTY) return { start() {}, advance() {}, finish() {} };
	return reporter(100, ({ step, done, total, rate, secondsLeft, finished }) => {
		const share = total === 0 ? 1 : done / total;
		const bar = "█".repeat(Math.round(share * 20)).padEnd(20, "░");
		const left = secondsLeft === null ? "" : `, ${humanSeconds(secondsLeft)} left`;
		const text = `${step}  ${bar} ${Math.floor(share * 100)} %  ${humanBytes(done)} of ${humanBytes(total)}, ${humanBytes(rate)}/s${finished ? "" : left}`;
		stream.write(`\r\u001b[2K${text.slice(0, Math.max(20, (stream.columns ?? 0) - 1))}${finished ? "\n" : ""}`);
	});
}

interface State {
	readonly event: "progress";
	readonly step: string;
	/** Bytes. */
	readonly done: number;
	readonly total: number;
	/** Bytes a second since the step began. */
	readonly rate: number;
	readonly secondsLeft: number | null;
	readonly finished: boolean;
}

function reporter(interval: number, report: (state: State) => void): Progress {
	let step = "";
	let total = 0;
	let done = 0;
	let began = 0;
	let reported = 0;
	const tell = (finished: boolean) => {
		const seconds = (now() - began) / 1000;
		const rate = seconds > 0 ? Math.round(done / seconds) : 0;
		const secondsLeft = rate > 0 && !finished ? Math.round((total - done) / rate) : null;
		reported = now();
		report({ event: "progress", step, done, total, rate, secondsLeft, finished });
	};
	return {
		start(name, bytes) {
			[step, total, done, began] = [name, bytes, 0, now()];
			tell(false);
		},
		advance(bytes) {
			done = Math.min(total, done + bytes);
			if (now() - reported >= interval) tell(false);
		},
		finish() {
			done = total;
			tell(true);
		},
	};
}
