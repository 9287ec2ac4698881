/** "QED" and a zero */
export const MAGIC = 0x00444551;
