/**
 * A table for words out of files, which nobody vouches for: only its own are in it, and not `constructor` and the others
 * that every object has.
 */
export const wordsOf = <T>(table: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
	Object.assign(Object.create(null) as Record<string, T>, table);
