/** What describes the machine of an XVA: the first member of its tar. */
export const RECORDS = "ova.xml";

/** Whether a tar that begins so is an XVA. */
export const isXva = (head: Uint8Array): boolean => {
	const name = new TextDecoder("latin1").decode(head.subarray(0, RECORDS.length + 1));
	return name === `${RECORDS}\0`;
};
