export { type BareDisk, inferMachine } from "./infer.js";
export type {
	Controller,
	ControllerModel,
	DescriptorFile,
	Firmware,
	Machine,
	MachineDisk,
	MachineFormat,
	MachineNic,
	ReadOptions,
} from "./machine.js";
export { type Manifest, type OvfPackage, type PackageMember, readOva, readOvfFolder } from "./ovf/package.js";
export { machineFormatOf, machineFormats, readMachine } from "./registry.js";
