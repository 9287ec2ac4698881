export type { Keys, VolumeAssembly } from "./assembly.js";
export { assembleVolumes, readVolumes, volumeAssemblies, volumeSchemes } from "./registry.js";
export type { Volume, VolumeScheme } from "./volume.js";
