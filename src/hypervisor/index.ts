export type * from "./hypervisor.js";
export { exportModels, hypervisorJsonSchema, parseModels } from "./models.js";
export { hypervisor, hypervisors, hypervisorsNamed, withModels } from "./registry.js";
export { hypervisorSchema } from "./schema.js";
