export { repaired } from "./fix/repair.js";
export { writeArchive, writeFolder } from "./fix/write.js";
export { type Finding, lint, type Verdict } from "./lint.js";
export { type Opened, openSubject, type Parts } from "./open.js";
export { importers, importersNamed, importersOf } from "./registry.js";
export type { Grade, Importer, Occurrence, Rule, RuleOptions, Severity } from "./rule.js";
export type { Subject } from "./subject.js";
