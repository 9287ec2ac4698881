/** Milliseconds of processor time that `work` takes: unlike the clock's, they hold on a busy machine. */
export async function processorTime(work: () => unknown): Promise<number> {
	const before = process.cpuUsage();
	await work();
	const { user, system } = process.cpuUsage(before);
	return (user + system) / 1000;
}
