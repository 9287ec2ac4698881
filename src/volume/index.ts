export { readVolumes, volumeSchemes } from "./registry.js";
export type { Volume, VolumeScheme } from "./volume.js";
