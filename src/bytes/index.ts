export { type CacheOptions, cached } from "./cache.js";
export * from "./checksum/index.js";
export * from "./codec/index.js";
export { AnyvisorError, type FailureDetails, type FailureKind } from "./errors.js";
export { type DataExtent, type HoleAware, isHoleAware } from "./holes.js";
export { type Overlay, type OverlayOptions, overlay } from "./overlay.js";
export type { ByteSink, OutputFolder } from "./sink.js";
export { type ByteSource, type ByteStore, bytesSource, isStore, readBytes, readUpTo, slice } from "./source.js";
export * from "./struct.js";
