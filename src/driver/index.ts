export { type Closure, closure } from "./closure.js";
export { type JudgeOptions, judge, judgeAll } from "./judge.js";
export { modulesToAdd } from "./modules-to-add.js";
export { deviceVerdictSchema, verdictSchema } from "./schema.js";
export type * from "./verdict.js";
