/** Keys to actions, one table; `web/README.md` lists them for the key overlay. */

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
}

const KEYS: Readonly<Record<string, string>> = {
  ArrowUp: 'previous',
  ArrowLeft: 'previous',
  ArrowDown: 'next',
  ArrowRight: 'next',
  PageUp: 'back-ten',
  PageDown: 'on-ten',
  Home: 'first',
  End: 'last',
  s: 'tool-scroll',
  w: 'tool-window',
  z: 'tool-zoom',
  m: 'tool-pan',
  l: 'measure',
  i: 'invert',
  '0': 'reset',
  ' ': 'play',
  k: 'key',
  '[': 'previous-series',
  ']': 'next-series',
  '+': 'larger',
  '-': 'smaller',
  t: 'report',
  u: 'up',
  Delete: 'delete',
  Escape: 'cancel',
};

export function actionOf({ key, ctrlKey, altKey, metaKey }: Pressed): string | undefined {
  if (ctrlKey || altKey || metaKey) return undefined;
  const preset = /^F([1-8])$/.exec(key);
  if (preset !== null) return `preset-${preset[1] ?? ''}`;
  return KEYS[key.length === 1 ? key.toLowerCase() : key];
}

/** Keys that are a single printable letter, which a reader may switch off (WCAG 2.1.4). */
export function isCharacter(key: string): boolean {
  return key.length === 1 && key !== ' ';
}
