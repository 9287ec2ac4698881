export { type Alias, type Aliases, AliasIndex, aliasIndex } from "./alias-index.js";
export type * from "./device.js";
export { matchesGlob } from "./glob.js";
export { modaliasOf } from "./modalias.js";
