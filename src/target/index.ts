export { fileBase } from "./file-name.js";
export { writeOva } from "./ova.js";
export { layoutNamed, layouts, layoutsFor, type Target, targetsFor } from "./registry.js";
export type { Appliance, DirectBoot, Layout, LayoutOptions, PlacedLayout } from "./target.js";
