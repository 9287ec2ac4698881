import { flags64, struct, u16, u32, u64 } from "../bytes/struct.js";

// The network block device protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md

/** "NBDMAGIC", "IHAVEOPT" */
export const GREETING_MAGIC = 0x4e42_444d_4147_4943n;
export const OPTION_MAGIC = 0x4948_4156_454f_5054n;
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;
export const REQUEST_MAGIC = 0x2560_9513;
export const REPLY_MAGIC = 0x6744_6698;

/** Handshake flags of both sides. */
export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
export const OPTION_REPLY = { ack: 1, info: 3, unsupported: 2 ** 31 + 1 } as const;
export const INFO_EXPORT = 0;

export const TRANSMISSION = { hasFlags: 1, readOnly: 2, sendFlush: 4, sendWriteZeroes: 64 } as const;
export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, writeZeroes: 6 } as const;
/** Errors are Linux's, whatever the system. */
export const ERROR = { none: 0, permission: 1, io: 5, invalid: 22 } as const;

export const Greeting = struct("NBD greeting", "big", { magic: flags64, optionMagic: flags64, flags: u16 });
export const OptionRequest = struct("NBD option", "big", { magic: flags64, option: u32, length: u32 });
export const OptionReply = struct("NBD option reply", "big", {
	magic: flags64,
	option: u32,
	type: u32,
	length: u32,
});
export const ExportInfo = struct("NBD_INFO_EXPORT", "big", { type: u16, size: u64, flags: u16 });
/** What answers NBD_OPT_EXPORT_NAME; 124 zeroes follow where the client did not spare us them. */
export const ExportReply = struct("NBD export", "big", { size: u64, flags: u16 });
export const EXPORT_ZEROES = 124;
export const Request = struct("NBD request", "big", {
	magic: u32,
	flags: u16,
	type: u16,
	cookie: flags64,
	offset: u64,
	length: u32,
});
export const Reply = struct("NBD simple reply", "big", { magic: u32, error: u32, cookie: flags64 });
