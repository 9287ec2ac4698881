import { machineOfSettings, Settings } from "./hyperv-settings.js";
import type { DescriptorFile, Machine, MachineFormat } from "./machine.js";
import { decodeHead, rootTag } from "./xml-head.js";
import { childrenOf, parseXml, type XmlElement } from "./xml-read.js";

/** The configuration of a virtual machine of Hyper-V up to Windows Server 2012 R2. */
export const hypervXml: MachineFormat = {
	id: "hyperv-xml",
	matches: ({ bytes }) => rootTag(bytes)?.name === "configuration" && decodeHead(bytes).includes("VDEVVersion"),
	read: readConfiguration,
};

async function readConfiguration(file: DescriptorFile): Promise<Machine> {
	return machineOfSettings(settingsOf(await parseXml(file)), file, "hyperv-xml", []);
}

function settingsOf(element: XmlElement): Settings {
	const settings = new Settings(element.text);
	for (const name of new Set(element.children.map((child) => child.name))) {
		const [first] = childrenOf(element, name);
		if (first !== undefined) settings.add(name, settingsOf(first));
	}
	return settings;
}
