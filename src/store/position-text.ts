/** Sorts as text the way positions sort as numbers; the key of a row that stands for a record. */
export const positionText = (position: number): string => String(position).padStart(16, '0')
