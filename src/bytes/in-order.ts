/**
 * Maps `items` with up to `concurrency` calls of `work` under way, and yields the results in the items' order. Stops
 * taking items at the first failure; waits for what is under way before it ends, so that nothing runs on afterwards.
 */
export async function* inOrder<T, R>(
	items: AsyncIterable<T> | Iterable<T>,
	concurrency: number,
	work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
	const underWay: Promise<R>[] = [];
	async function* next() {
		const first = underWay.shift();
		if (first !== undefined) yield await first;
	}
	try {
		for await (const item of items) {
			const result = work(item);
			// A later result may fail while an earlier one is still awaited; its own turn reports it.
			result.catch(() => {});
			underWay.push(result);
			if (underWay.length >= concurrency) yield* next();
		}
		while (underWay.length > 0) yield* next();
	} finally {
		await Promise.allSettled(underWay);
	}
}
