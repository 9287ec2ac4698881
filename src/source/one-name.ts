interface Named {
	readonly path: string;
	readonly likely: number;
}

const stem = ({ path }: Named) => path.replace(/\.[^./]*$/, "");

/** The best of several that bear one name with different endings: they say the same in different formats. */
export function ofOneName<T extends Named>(candidates: readonly T[]): readonly T[] {
	if (new Set(candidates.map(stem)).size !== 1) return candidates;
	const best = Math.max(...candidates.map(({ likely }) => likely));
	return candidates.filter(({ likely }) => likely === best);
}
