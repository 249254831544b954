import assert from 'node:assert/strict';
import { test } from 'node:test';
import { paintColour } from '../viewer/colour.ts';
import { type GreyRules, type Look, openingWindow, paintGrey, type Pixels } from '../viewer/grey.ts';

const rules: GreyRules = {
  slope: 1,
  intercept: 0,
  modalityTable: undefined,
  voiTable: undefined,
  voiFunction: 'LINEAR',
  windows: [],
  inverse: false,
  padding: undefined,
};
const asSent: Look = { window: undefined, invert: false };

function greys(pixels: Pixels, given: Partial<GreyRules>, look: Look = asSent): number[] {
  const out = new Uint32Array(pixels.length);
  paintGrey(pixels, { ...rules, ...given }, look, out);
  return [...out].map((word) => word & 0xff);
}

test('a window of 2048 and 4096 takes a twelve-bit ramp from black to white', () => {
  assert.deepEqual(greys(Uint16Array.of(0, 2048, 4095), { windows: [{ centre: 2048, width: 4096 }] }), [0, 128, 255]);
});

test('inversion comes after the window', () => {
  const windows = [{ centre: 100, width: 200 }];

  assert.deepEqual(greys(Uint16Array.of(0, 199, 4000), { windows, inverse: true }), [255, 0, 0]);
  assert.deepEqual(greys(Uint16Array.of(0, 199), { windows, inverse: true }, { window: undefined, invert: true }), [0, 255]);
});

test('rescale comes before the window', () => {
  const ct = { slope: 2, intercept: -1024, windows: [{ centre: 0.5, width: 2001 }] };

  assert.deepEqual(greys(Int16Array.of(12, 512, 1012), ct), [0, 128, 255]);
});

test('the first window of several is the one that opens', () => {
  assert.deepEqual(openingWindow({ ...rules, windows: [{ centre: 1, width: 2 }, { centre: 3, width: 4 }] }, new Uint8Array(1)), { centre: 1, width: 2 });
});

test('a table of the file is used until a window is chosen', () => {
  const voiTable = { first: 10, bits: 8, entries: Uint16Array.of(255, 128, 0) };
  const pixels = Uint8Array.of(0, 10, 11, 12, 50);

  assert.deepEqual(greys(pixels, { voiTable }), [255, 255, 128, 0, 0]);
  assert.deepEqual(greys(pixels, { voiTable }, { window: { centre: 1, width: 1 }, invert: false }), [0, 255, 255, 255, 255]);
});

test('padding does not widen the window of an image that has none', () => {
  assert.deepEqual(greys(Int16Array.of(-2000, 0, 100), { padding: [-2000, -2000] }), [0, 0, 255]);
});

test('fractional values are drawn too', () => {
  assert.deepEqual(greys(Float32Array.of(0, 0.5, 1), { windows: [{ centre: 0.5, width: 1 }], voiFunction: 'LINEAR_EXACT' }), [0, 128, 255]);
});

function colours(pixels: Pixels, given: Partial<Parameters<typeof paintColour>[1]>): number[] {
  const out = new Uint8ClampedArray(8);
  paintColour(pixels, { photometric: 'RGB', planar: 0, bitsStored: 8, palette: undefined, ...given }, false, out);
  return [...out].filter((_, i) => i % 4 !== 3);
}

test('colours by pixel and by plane are the same colours', () => {
  assert.deepEqual(colours(Uint8Array.of(1, 2, 3, 4, 5, 6), {}), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(colours(Uint8Array.of(1, 4, 2, 5, 3, 6), { planar: 1 }), [1, 2, 3, 4, 5, 6]);
});

test('a palette of sixteen bits is shown by its upper half', () => {
  const table = (...entries: number[]) => ({ first: 0, bits: 16, entries: Uint16Array.from(entries) });

  assert.deepEqual(colours(Uint8Array.of(1, 0), { photometric: 'PALETTE COLOR', palette: [table(0, 0xff00), table(0, 0x8000), table(0x1000, 0)] }), [255, 128, 0, 0, 0, 16]);
});

test('two pixels share the colour of native YBR_FULL_422', () => {
  assert.deepEqual(colours(Uint8Array.of(76, 76, 85, 255), { photometric: 'YBR_FULL_422' }), [254, 0, 0, 254, 0, 0]);
});
