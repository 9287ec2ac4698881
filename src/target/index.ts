export { fileBase } from "./file-name.js";
export { writeOva } from "./ova.js";
export { layoutNamed, layouts, layoutsFor } from "./registry.js";
export type { Appliance, Layout, LayoutOptions, PlacedLayout } from "./target.js";
