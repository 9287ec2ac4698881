/** "QFI" and 0xfb */
export const MAGIC = 0x514649fb;
