export { type BootImage, type BootOptions, type BootOutcome, type BootResult, boot } from "./boot.js";
export { type BootModel, bootModel, bootModels } from "./models.js";
