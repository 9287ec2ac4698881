/**
 * Keeps the results of `load` that were used last, `capacity` of them. Concurrent requests for one key share one load,
 * and a failed load is forgotten.
 */
export function cached<T>(capacity: number, load: (key: number) => Promise<T>): (key: number) => Promise<T> {
	const results = new Map<number, Promise<T>>();
	return (key) => {
		const known = results.get(key);
		if (known !== undefined) {
			// A Map iterates in order of insertion: whatever is put back last is dropped last.
			results.delete(key);
			results.set(key, known);
			return known;
		}
		const result = load(key);
		results.set(key, result);
		result.catch(() => {
			if (results.get(key) === result) results.delete(key);
		});
		if (results.size > capacity) for (const oldest of results.keys()) if (results.delete(oldest)) break;
		return result;
	};
}
