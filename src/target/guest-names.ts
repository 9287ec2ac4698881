import { wordsOf } from "../bytes/words.js";
import type { Appliance } from "./target.js";

/** What packages call a guest. */
export interface GuestNames {
	/** CIM_OperatingSystem.OSType, https://www.dmtf.org/standards/cim */
	readonly cim: number;
	/** VMware's VirtualMachineGuestOsIdentifier: the oldest name that fits, since hosts refuse names newer than themselves. */
	readonly vmware: string;
	/** The same in a .vmx file. */
	readonly vmx: string;
	/** VirtualBox's Machine/@OSType: names that every version since 4 knows. */
	readonly vbox: string;
}

/** By os-release ID. */
const LINUX: Readonly<Record<string, GuestNames>> = wordsOf({
	debian: { cim: 96, vmware: "debian8_64Guest", vmx: "debian8-64", vbox: "Debian_64" },
	ubuntu: { cim: 94, vmware: "ubuntu64Guest", vmx: "ubuntu-64", vbox: "Ubuntu_64" },
	rhel: { cim: 80, vmware: "rhel7_64Guest", vmx: "rhel7-64", vbox: "RedHat_64" },
	centos: { cim: 107, vmware: "centos64Guest", vmx: "centos-64", vbox: "RedHat_64" },
	almalinux: { cim: 107, vmware: "centos64Guest", vmx: "centos-64", vbox: "RedHat_64" },
	rocky: { cim: 107, vmware: "centos64Guest", vmx: "centos-64", vbox: "RedHat_64" },
	ol: { cim: 109, vmware: "oracleLinux64Guest", vmx: "oraclelinux-64", vbox: "Oracle_64" },
	fedora: { cim: 101, vmware: "fedora64Guest", vmx: "fedora-64", vbox: "Fedora_64" },
	sles: { cim: 85, vmware: "sles12_64Guest", vmx: "sles12-64", vbox: "OpenSUSE_64" },
	"opensuse-leap": { cim: 83, vmware: "opensuse64Guest", vmx: "opensuse-64", vbox: "OpenSUSE_64" },
	"opensuse-tumbleweed": { cim: 83, vmware: "opensuse64Guest", vmx: "opensuse-64", vbox: "OpenSUSE_64" },
});
const ANY_LINUX: GuestNames = { cim: 101, vmware: "otherLinux64Guest", vmx: "otherlinux-64", vbox: "Linux_64" };
const ANY: GuestNames = { cim: 1, vmware: "otherGuest64", vmx: "other-64", vbox: "Other_64" };

/** Names for the guest of an appliance. */
export function guestNames({ system, id }: Appliance["guest"]): GuestNames {
	return system === "linux" ? (LINUX[id] ?? ANY_LINUX) : ANY;
}
