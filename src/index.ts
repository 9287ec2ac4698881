/**
 * The whole pipeline as a library. The layers have entry points of their own: `anyvisor/disk`, `anyvisor/machine`, …
 *
 * @module
 */
export { AnyvisorError, type FailureKind } from "./bytes/errors.js";
export { type Hypervisor, hypervisors, parseModels, withModels } from "./hypervisor/index.js";
export { type Inspection, inspectionJsonSchema, inspectionSchema } from "./inspection-schema.js";
export { type Origin, openVm } from "./open.js";
export {
	type Delivery,
	deliveries,
	expand,
	type Prepared,
	type PrepareOptions,
	pack,
	prepare,
} from "./packaging.js";
export {
	type Contents,
	type FoundVolume,
	inspect,
	type Judgement,
	judgeAll,
	look,
	machineOf,
	planFor,
	type Vm,
} from "./pipeline.js";
