/** Colour samples to RGBA. Source: PS3.3 C.7.6.3.1.2 to C.7.6.3.1.6. */

import type { Pixels, Table } from './grey.ts';

export interface ColourRules {
  photometric: string;
  planar: number;
  bitsStored: number;
  palette: readonly Table[] | undefined;
}

export function isColour(photometric: string): boolean {
  return !photometric.startsWith('MONOCHROME');
}

/** Writes RGBA bytes for all pixels of a frame. */
export function paintColour(pixels: Pixels, rules: ColourRules, invert: boolean, out: Uint8ClampedArray): void {
  const count = out.length / 4;
  const sample = sampler(pixels, rules, count);
  const mask = invert ? 255 : 0;
  for (let i = 0; i < count; i += 1) {
    const [red, green, blue] = sample(i);
    out[4 * i] = mask ^ red;
    out[4 * i + 1] = mask ^ green;
    out[4 * i + 2] = mask ^ blue;
    out[4 * i + 3] = 255;
  }
}

type Sampler = (index: number) => readonly [number, number, number];

function sampler(pixels: Pixels, rules: ColourRules, count: number): Sampler {
  if (rules.palette !== undefined) return paletteSampler(pixels, rules.palette);
  const shift = Math.max(0, rules.bitsStored - 8);
  const at = (index: number) => (pixels[index] ?? 0) >> shift;
  const half = rules.photometric === 'YBR_FULL_422' && pixels.length < 3 * count;
  const read: Sampler =
    rules.planar === 1
      ? (i) => [at(i), at(count + i), at(2 * count + i)]
      : (i) => [at(3 * i), at(3 * i + 1), at(3 * i + 2)];
  if (half) return (i) => fromYbr(at(4 * (i >> 1) + (i % 2)), at(4 * (i >> 1) + 2), at(4 * (i >> 1) + 3));
  if (!rules.photometric.startsWith('YBR')) return read;
  return (i) => fromYbr(...read(i));
}

function paletteSampler(pixels: Pixels, palette: readonly Table[]): Sampler {
  const channels = palette.map((table) => {
    const shift = table.bits > 8 ? table.bits - 8 : 0;
    return (value: number) => {
      const index = Math.min(table.entries.length - 1, Math.max(0, value - table.first));
      return ((table.entries[index] ?? 0) >> shift) & 0xff;
    };
  });
  const [red, green, blue] = channels;
  if (red === undefined || green === undefined || blue === undefined) return () => [0, 0, 0];
  return (i) => {
    const value = pixels[i] ?? 0;
    return [red(value), green(value), blue(value)];
  };
}

function fromYbr(y: number, cb: number, cr: number): readonly [number, number, number] {
  return [
    clamp(y + 1.402 * (cr - 128)),
    clamp(y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)),
    clamp(y + 1.772 * (cb - 128)),
  ];
}

function clamp(value: number): number {
  return Math.min(255, Math.max(0, Math.round(value)));
}
