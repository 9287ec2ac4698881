export { apply, assertEditable, type EditorOf, itsOwn } from "./apply.js";
export * from "./change.js";
export { ExternalEditing } from "./external-editing.js";
export { plan } from "./plan.js";
export type { Planning } from "./planning.js";
export { withNetworkChanges } from "./rules/network.js";
export { namesThatChange } from "./rules/stable-names.js";
