import { readBytes } from "../../bytes/source.js";
import { struct, u16, u32, viewOf } from "../../bytes/struct.js";
import { AttributeList, type ExtendedAttributes } from "../extended-attributes.js";
import { type ExtVolume, readBlock } from "./blocks.js";
import { contents } from "./contents.js";
import { type Inode, readInode } from "./inode.js";
import { ATTRIBUTES_MAGIC, AttributeBlock, Incompat } from "./layout.js";
import { corrupt } from "./superblock.js";
import { type AttributeArea, entriesOf, inodeArea } from "./xattr-area.js";

/** Extended attributes: https://docs.kernel.org/filesystems/ext4/attributes.html */

export const ACCESS_LIST = "system.posix_acl_access";

/** What `e_name_index` stands for. Other numbers are of attributes that the kernel keeps to itself. */
export const namespaces: ReadonlyMap<number, string> = new Map([
	[1, "user."],
	[2, ACCESS_LIST],
	[3, "system.posix_acl_default"],
	[4, "trusted."],
	[6, "security."],
]);
const ACL_INDEXES: readonly number[] = [2, 3];

/** The block of attributes that `inode` names; 0 where it names none. */
export function attributeBlockOf({ parameters }: Pick<ExtVolume, "parameters">, { fields }: Inode): number {
	const wide = parameters.features.incompat & Incompat["64BIT"];
	return fields.i_file_acl_lo + (wide ? fields.l_i_file_acl_high * 2 ** 32 : 0);
}

/** Those that programs see, the ones in the inode first; `path` is for messages. */
export async function extendedAttributes(volume: ExtVolume, inode: Inode, path: string): Promise<ExtendedAttributes> {
	const list = new AttributeList(path);
	const inside = inodeArea(inode);
	if (inside) await addAll(volume, inside, list);
	const block = attributeBlockOf(volume, inode);
	if (block !== 0) await addAll(volume, await readAttributeBlock(volume, block, inode.at), list);
	return list.found;
}

export async function readAttributeBlock(volume: ExtVolume, block: number, referrer: number): Promise<AttributeArea> {
	const bytes = await readBlock(volume, block, referrer);
	const at = block * volume.parameters.blockSize;
	if (AttributeBlock.parse(bytes, 0, volume.name, at).h_magic !== ATTRIBUTES_MAGIC) {
		throw corrupt(volume.name, at, "this is not the block of extended attributes that it should be");
	}
	return { bytes, at, start: AttributeBlock.size, base: 0 };
}

async function addAll(volume: ExtVolume, area: AttributeArea, list: AttributeList): Promise<void> {
	for (const { index, name, inode, size, value, at } of entriesOf(volume.name, area)) {
		const namespace = namespaces.get(index);
		if (namespace === undefined) continue;
		list.makeRoom(size);
		const stored = inode === 0 ? area.bytes.subarray(value, value + size) : await largeValue(volume, inode, size, at);
		list.add(namespace, name, ACL_INDEXES.includes(index) ? accessList(volume.name, stored, at) : stored);
	}
}

/** A value that has an inode of its own, with the feature EA_INODE. */
async function largeValue(volume: ExtVolume, number: number, size: number, referrer: number): Promise<Uint8Array> {
	const inode = await readInode(volume, number, referrer);
	if (inode.type !== "file" || inode.size !== size) {
		throw corrupt(volume.name, referrer, `inode ${number} does not hold the extended attribute that it should`);
	}
	return readBytes(contents(volume, inode, `inode ${number}`), 0, size);
}

/** Access control lists are stored shorter than programs see them: fs/ext4/acl.h and include/uapi/linux/posix_acl_xattr.h */
const StoredAcl = struct("ext access control list", "little", { a_version: u32 });
const STORED_ACL_VERSION = 1;
const StoredAclEntry = struct("ext access control list entry", "little", { e_tag: u16, e_perm: u16 });
const StoredAclId = struct("ext access control list id", "little", { e_id: u32 });
/** ACL_USER and ACL_GROUP: an id follows. */
const NAMED_TAGS: readonly number[] = [2, 8];
const Acl = struct("access control list", "little", { a_version: u32 });
const ACL_VERSION = 2;
const AclEntry = struct("access control list entry", "little", { e_tag: u16, e_perm: u16, e_id: u32 });
const NO_ID = 0xffffffff;

const AclTag = { USER_OBJ: 1, GROUP_OBJ: 4, MASK: 0x10, OTHER: 0x20 };

/**
 * An access control list, as programs see it, stored for a file that gets other permissions: they are its owner's, its
 * mask's (its group's where it has none), and everybody else's.
 */
export function storedAccessList(file: string, list: Uint8Array, mode: number): Uint8Array {
	const entries = Array.from({ length: Math.floor((list.length - Acl.size) / AclEntry.size) }, (_, i) =>
		AclEntry.parse(list, Acl.size + i * AclEntry.size, file),
	);
	const masked = entries.some(({ e_tag }) => e_tag === AclTag.MASK) ? AclTag.MASK : AclTag.GROUP_OBJ;
	const given = new Map([
		[AclTag.USER_OBJ, (mode >> 6) & 7],
		[masked, (mode >> 3) & 7],
		[AclTag.OTHER, mode & 7],
	]);
	const bytes = [...StoredAcl.build({ a_version: STORED_ACL_VERSION })];
	for (const { e_tag, e_perm, e_id } of entries) {
		bytes.push(...StoredAclEntry.build({ e_tag, e_perm: given.get(e_tag) ?? e_perm }));
		if (NAMED_TAGS.includes(e_tag)) bytes.push(...StoredAclId.build({ e_id }));
	}
	return Uint8Array.from(bytes);
}

function accessList(file: string, stored: Uint8Array, at: number): Uint8Array {
	const { a_version } = StoredAcl.parse(stored, 0, file, at);
	if (a_version !== STORED_ACL_VERSION) throw corrupt(file, at, `an access control list is of version ${a_version}`);
	const parts = [Acl.build({ a_version: ACL_VERSION })];
	for (let offset = StoredAcl.size; offset < stored.length; ) {
		const entry = StoredAclEntry.parse(stored, offset, file, at);
		offset += StoredAclEntry.size;
		const named = NAMED_TAGS.includes(entry.e_tag);
		if (named && offset + u32.size > stored.length) throw corrupt(file, at, "an access control list is cut off");
		parts.push(AclEntry.build({ ...entry, e_id: named ? viewOf(stored).getUint32(offset, true) : NO_ID }));
		if (named) offset += u32.size;
	}
	const whole = new Uint8Array(Acl.size + (parts.length - 1) * AclEntry.size);
	let length = 0;
	for (const part of parts) {
		whole.set(part, length);
		length += part.length;
	}
	return whole;
}
