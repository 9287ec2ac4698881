export type * from "./guest.js";
export { assembleTree, findVolume, type MountableVolume } from "./mounts.js";
export { detectGuest, type GuestContext, type GuestSystem, guestSystems } from "./registry.js";
