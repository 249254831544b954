/** Pixels as they lie in a file that compresses nothing. Source: PS3.5 §8.1, §8.2, annex D. */

import type { Pixels } from './grey.ts';
import type { Shape } from './header.ts';

/** One frame out of all pixel bytes of the file; bits beyond those stored (old overlays) are cut off. */
export function nativeFrame(all: Uint8Array, frame: number, shape: Shape, littleEndian: boolean, float: boolean): Pixels {
  const perPixel = shape.photometric === 'YBR_FULL_422' ? 2 : shape.samples;
  const count = shape.rows * shape.columns * perPixel;
  if (shape.bitsAllocated === 1) return bits(all, (frame - 1) * count, count);
  const bytes = shape.bitsAllocated / 8;
  const from = (frame - 1) * count * bytes;
  if (from + count * bytes > all.length) throw new Error('pixel data is shorter than its description');
  const view = new DataView(all.buffer, all.byteOffset + from, count * bytes);
  if (float) {
    return bytes === 8
      ? Float64Array.from({ length: count }, (_, i) => view.getFloat64(8 * i, littleEndian))
      : Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, littleEndian));
  }
  return cut(integers(view, bytes, count, shape.signed, littleEndian), shape);
}

/** Keeps the stored bits only, sign-extended where the values are signed. */
export function cut(pixels: Pixels, shape: Shape): Pixels {
  const { bitsAllocated, bitsStored, highBit, signed } = shape;
  if (bitsStored >= bitsAllocated || bitsStored < 1 || shape.samples > 1) return pixels;
  const left = 32 - (highBit + 1);
  const right = 32 - bitsStored;
  for (let i = 0; i < pixels.length; i += 1) {
    const shifted = (pixels[i] ?? 0) << left;
    pixels[i] = signed ? shifted >> right : shifted >>> right;
  }
  return pixels;
}

function integers(view: DataView, bytes: number, count: number, signed: boolean, littleEndian: boolean): Pixels {
  if (bytes === 1) {
    const copy = new Uint8Array(view.buffer, view.byteOffset, count).slice();
    return signed ? new Int8Array(copy.buffer) : copy;
  }
  if (bytes === 2) {
    const out = signed ? new Int16Array(count) : new Uint16Array(count);
    for (let i = 0; i < count; i += 1) out[i] = view.getUint16(2 * i, littleEndian);
    return out;
  }
  if (bytes === 4) {
    const out = signed ? new Int32Array(count) : new Uint32Array(count);
    for (let i = 0; i < count; i += 1) out[i] = view.getUint32(4 * i, littleEndian);
    return out;
  }
  throw new Error(`${8 * bytes} bits a sample`);
}

function bits(all: Uint8Array, from: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => ((all[(from + i) >> 3] ?? 0) >> ((from + i) & 7)) & 1);
}
