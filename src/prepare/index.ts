export { apply, assertEditable } from "./apply.js";
export * from "./change.js";
export { plan } from "./plan.js";
export type { Planning } from "./planning.js";
