import path from "node:path";

/** How a hypervisor takes a file with faces. */
export interface Attaching {
	readonly hypervisor: string;
	/** The face that it uses. */
	readonly face: "raw" | "vhd" | "vmdk";
	/** Whether it sees the disk's size, or the whole file's, which is a sector larger. */
	readonly sees: "disk" | "file";
	/** What to type, or to choose. */
	readonly how: string;
}

/**
 * How each hypervisor attaches the disk.
 *
 * @param vhd the file under a name that ends in .vhd
 * @param vmdk the descriptor beside it
 * @param virtualSize of the disk, in bytes
 */
export function attachings(vhd: string, vmdk: string, virtualSize: number): readonly Attaching[] {
	const file = /^[\w./+-]+$/.test(vhd) ? vhd : `"${vhd}"`;
	const absolute = path.resolve(vhd);
	return [
		{
			hypervisor: "VMware Workstation, Fusion",
			face: "vmdk",
			sees: "disk",
			how: `choose ${vmdk} as an existing disk, or in the .vmx: scsi0:0.fileName = "${path.resolve(vmdk)}"`,
		},
		{
			hypervisor: "VirtualBox",
			face: "vhd",
			sees: "disk",
			how: `VBoxManage storageattach VM --storagectl SATA --port 0 --type hdd --medium ${file}`,
		},
		{
			hypervisor: "Hyper-V, generation 1",
			face: "vhd",
			sees: "disk",
			how: `Add-VMHardDiskDrive -VMName VM -ControllerType IDE -Path ${file} (on NTFS neither sparse nor compressed)`,
		},
		{
			hypervisor: "Azure",
			face: "vhd",
			sees: "disk",
			how: `az disk create --upload-type Upload --upload-size-bytes ${virtualSize + 512} …, then azcopy copy ${file} "SAS" --blob-type PageBlob`,
		},
		{
			hypervisor: "QEMU/KVM",
			face: "raw",
			sees: "disk",
			how: `-drive file=${file},format=raw,size=${virtualSize} (or format=vpc)`,
		},
		{
			hypervisor: "libvirt",
			face: "raw",
			sees: "disk",
			how: `<driver name='qemu' type='raw'/> <source file='${absolute}'><slices><slice type='storage' offset='0' size='${virtualSize}'/></slices></source>`,
		},
		{
			hypervisor: "Xen (xl)",
			face: "vhd",
			sees: "disk",
			how: `disk = ["format=vhd,vdev=xvda,access=rw,target=${absolute}"] (format=raw takes the whole file)`,
		},
		{
			hypervisor: "Cloud Hypervisor",
			face: "vhd",
			sees: "disk",
			how: `--disk path=${file} (it recognises a fixed VHD; where it wants the image type, state that)`,
		},
		{
			hypervisor: "bhyve",
			face: "raw",
			sees: "file",
			how: `-s 3,virtio-blk,${file}`,
		},
	];
}

/** What whoever attaches the whole file as a raw disk should know. */
export const WHOLE_FILE_NOTE =
	"Taken whole as a raw disk, the file has one sector more, the VHD footer at its end. Nothing in a guest uses it by " +
	"itself; a partitioning tool that moves GPT's backup header to the end would overwrite it: run this again then.";
