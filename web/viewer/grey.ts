/** Stored value to grey: modality, then window or table, inversion last. Source: PS3.3 C.7.6.3.1.2, C.11.1, C.11.2. */

export interface Table {
  first: number;
  bits: number;
  entries: ArrayLike<number>;
}

export interface Window {
  centre: number;
  width: number;
}

export interface GreyRules {
  slope: number;
  intercept: number;
  modalityTable: Table | undefined;
  voiTable: Table | undefined;
  voiFunction: string;
  windows: readonly Window[];
  inverse: boolean;
  padding: readonly [number, number] | undefined;
}

export interface Look {
  window: Window | undefined;
  invert: boolean;
}

export type Pixels = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

export function modality(rules: GreyRules): (stored: number) => number {
  const { modalityTable: table, slope, intercept } = rules;
  return table === undefined ? (stored) => stored * slope + intercept : (stored) => lookUp(table, stored);
}

/** The window an image opens with: its first, else from its darkest to its brightest value. */
export function openingWindow(rules: GreyRules, pixels: Pixels): Window {
  const sent = rules.windows[0];
  if (sent !== undefined) return sent;
  const { low, high } = extent(pixels, rules.padding);
  const toModality = modality(rules);
  const ends = [toModality(low), toModality(high)];
  const bottom = Math.min(...ends);
  const width = Math.max(...ends) - bottom;
  return { centre: bottom + width / 2 + 0.5, width: width + 1 };
}

/** Writes grey RGBA words for all pixels of a frame. */
export function paintGrey(pixels: Pixels, rules: GreyRules, look: Look, out: Uint32Array): void {
  const shade = shader(rules, look, pixels);
  const { low, high } = extent(pixels, undefined);
  const whole = !(pixels instanceof Float32Array || pixels instanceof Float64Array);
  if (whole && high - low <= 0xffff) {
    const words = new Uint32Array(high - low + 1);
    for (let i = 0; i < words.length; i += 1) words[i] = word(shade(low + i));
    for (let i = 0; i < out.length; i += 1) out[i] = words[(pixels[i] ?? low) - low] ?? 0;
  } else {
    for (let i = 0; i < out.length; i += 1) out[i] = word(shade(pixels[i] ?? 0));
  }
}

function shader(rules: GreyRules, look: Look, pixels: Pixels): (stored: number) => number {
  const toModality = modality(rules);
  const table = look.window === undefined ? rules.voiTable : undefined;
  const voi = table === undefined ? windowing(look.window ?? openingWindow(rules, pixels), rules.voiFunction) : tabling(table);
  const flip = rules.inverse !== look.invert;
  return (stored) => {
    const grey = Math.round(255 * voi(toModality(stored)));
    return flip ? 255 - grey : grey;
  };
}

/** A window as a function to 0…1. */
export function windowing({ centre, width }: Window, kind: string): (value: number) => number {
  if (kind === 'SIGMOID') return (value) => 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  const exact = kind === 'LINEAR_EXACT';
  const middle = exact ? centre : centre - 0.5;
  const span = exact ? width : width - 1;
  if (span <= 0) return (value) => (value > middle ? 1 : 0);
  return (value) => Math.min(1, Math.max(0, (value - middle) / span + 0.5));
}

function tabling(table: Table): (value: number) => number {
  const top = 2 ** table.bits - 1;
  return (value) => lookUp(table, Math.round(value)) / top;
}

function lookUp(table: Table, value: number): number {
  const index = Math.min(table.entries.length - 1, Math.max(0, value - table.first));
  return table.entries[index] ?? 0;
}

interface Extent {
  low: number;
  high: number;
}

/** Looking through a large film takes longer than drawing it, so the answer is kept, with and without padding. */
const known = [new WeakMap<Pixels, Extent>(), new WeakMap<Pixels, Extent>()] as const;

function extent(pixels: Pixels, padding: readonly [number, number] | undefined): Extent {
  const kept = known[padding === undefined ? 0 : 1];
  const before = kept.get(pixels);
  if (before !== undefined) return before;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < pixels.length; i += 1) {
    const value = pixels[i] ?? 0;
    if (padding !== undefined && value >= padding[0] && value <= padding[1]) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const found = low <= high ? { low, high } : { low: 0, high: 0 };
  kept.set(pixels, found);
  return found;
}

function word(grey: number): number {
  return (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
}
