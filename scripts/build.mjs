// Compiles src/ to dist/ from scratch, bundles the command line, and marks it executable. Run by `npm ci` through
// `prepare`.
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { bundle } from "./bundle.mjs";
import { command } from "./command.mjs";

rmSync("dist", { recursive: true, force: true });
execFileSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit", shell: process.platform === "win32" });
await bundle();
chmodSync(command, 0o755);
