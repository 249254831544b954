/** One compressed frame in, its pixels out; the decoders are cornerstone's, in WebAssembly where there is one. */

import decodeHTJ2K from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeHTJ2K.js';
import decodeJPEG2000 from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeJPEG2000.js';
import decodeJPEGBaseline from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeJPEGBaseline8Bit.js';
import decodeJPEGExtended from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeJPEGBaseline12Bit-js.js';
import decodeJPEGLossless from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeJPEGLossless.js';
import decodeJPEGLS from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeJPEGLS.js';
import decodeRLE from '../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeRLE.js';
import type { Pixels } from './grey.ts';
import type { Shape } from './header.ts';
import { cut } from './native.ts';

export interface Task {
  id: number;
  syntax: string;
  shape: Shape;
  bytes: Uint8Array;
}

/** What comes back: pixels, and what the decoder made of the colours. */
export interface Decoded {
  pixels: Pixels;
  photometric: string;
  planar: number;
}

type Result = { pixelData?: unknown; planarConfiguration?: number; interleaveMode?: number };
type Decoder = (task: Task, info: Record<string, unknown>) => Promise<Result>;

const wasm =
  (decode: (bytes: Uint8Array, info: Record<string, unknown>) => Promise<unknown>): Decoder =>
  ({ bytes }, info) =>
    decode(bytes, info) as Promise<Result>;
const script =
  (decode: (info: never, bytes: never) => Promise<unknown>): Decoder =>
  ({ bytes }, info) =>
    decode(info as never, bytes as never) as Promise<Result>;

const JPEG = '1.2.840.10008.1.2.4.';
const DECODERS: Readonly<Record<string, Decoder>> = {
  '1.2.840.10008.1.2.5': script(decodeRLE),
  [`${JPEG}50`]: wasm(decodeJPEGBaseline),
  [`${JPEG}51`]: script(decodeJPEGExtended),
  [`${JPEG}57`]: script(decodeJPEGLossless),
  [`${JPEG}70`]: script(decodeJPEGLossless),
  [`${JPEG}80`]: wasm(decodeJPEGLS),
  [`${JPEG}81`]: wasm(decodeJPEGLS),
  [`${JPEG}90`]: wasm(decodeJPEG2000),
  [`${JPEG}91`]: wasm(decodeJPEG2000),
  [`${JPEG}201`]: wasm(decodeHTJ2K),
  [`${JPEG}202`]: wasm(decodeHTJ2K),
  [`${JPEG}203`]: wasm(decodeHTJ2K),
};

/** These decoders undo the colour transform themselves. */
const GIVES_RGB = new Set([`${JPEG}50`, `${JPEG}90`, `${JPEG}91`, `${JPEG}201`, `${JPEG}202`, `${JPEG}203`]);

async function decode(task: Task): Promise<Decoded> {
  const { shape, syntax } = task;
  const decoder = DECODERS[syntax];
  if (decoder === undefined) throw new Error(`transfer syntax ${syntax}`);
  const result = await decoder(task, {
    rows: shape.rows,
    columns: shape.columns,
    samplesPerPixel: shape.samples,
    bitsAllocated: shape.bitsAllocated,
    bitsStored: shape.bitsStored,
    pixelRepresentation: shape.signed ? 1 : 0,
    planarConfiguration: shape.planar,
    photometricInterpretation: shape.photometric,
    signed: shape.signed,
    bytesPerPixel: shape.bitsAllocated <= 8 ? 1 : 2,
  });
  const decoded = (result.pixelData as Pixels).slice(); // the decoder's own memory is used again
  const rle = syntax === '1.2.840.10008.1.2.5';
  const toRgb = GIVES_RGB.has(syntax) && shape.photometric.startsWith('YBR');
  return {
    pixels: cut(asSigned(decoded, shape.signed), { ...shape, highBit: shape.bitsStored - 1 }),
    photometric: toRgb ? 'RGB' : shape.photometric,
    planar: rle ? (shape.bitsAllocated === 8 ? shape.planar : 1) : syntax === `${JPEG}80` || syntax === `${JPEG}81` ? Number(result.interleaveMode === 0) : 0,
  };
}

function asSigned(pixels: Pixels, signed: boolean): Pixels {
  if (signed && pixels instanceof Uint16Array) return new Int16Array(pixels.buffer, pixels.byteOffset, pixels.length);
  if (signed && pixels instanceof Uint8Array) return new Int8Array(pixels.buffer, pixels.byteOffset, pixels.length);
  if (!signed && pixels instanceof Int16Array) return new Uint16Array(pixels.buffer, pixels.byteOffset, pixels.length);
  return pixels;
}

self.addEventListener('message', (event: MessageEvent<Task>) => {
  const { id } = event.data;
  decode(event.data).then(
    (decoded) => self.postMessage({ id, decoded }, { transfer: [decoded.pixels.buffer] }),
    (problem: unknown) => self.postMessage({ id, problem: String(problem) }),
  );
});
