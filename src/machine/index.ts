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
	Product,
	ProductProperty,
	ReadOptions,
} from "./machine.js";
export type { Manifest } from "./ovf/manifest.js";
export { type OvfPackage, type PackageMember, type PackageOptions, readOva, readOvfFolder } from "./ovf/package.js";
export { machineFormatOf, machineFormats, readMachine } from "./registry.js";
