/** Which keys mean something on a page of the portal. The pages say so themselves, in `data-key`. */

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
}

/** Rows move with these; the arrows only while a row has the focus. */
export function rowStep(key: string, inRow: boolean): number {
  const steps: Readonly<Record<string, number>> = { j: 1, k: -1, ...(inRow ? { ArrowDown: 1, ArrowUp: -1 } : {}) };
  return steps[key] ?? 0;
}

/** The name under which a page lists a key: lower case, `g f` for one after the other; nothing with a modifier. */
export function keyName(pressed: Pressed, before: string): string | undefined {
  if (pressed.ctrlKey || pressed.altKey || pressed.metaKey || pressed.key.length !== 1) return undefined;
  const key = pressed.key.toLowerCase();
  return before === 'g' ? `g ${key}` : key;
}
