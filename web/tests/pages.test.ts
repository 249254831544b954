import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyName, rowStep } from '../pages/keys.ts';
import { isDue } from '../pages/standing.ts';
import { calendarDate } from '../viewer/dates.ts';
import { actionOf } from '../viewer/keys.ts';
import { nextKey } from '../viewer/link.ts';
import { cut, nativeFrame } from '../viewer/native.ts';
import { stopsOf, undrawnKind } from '../viewer/open.ts';
import { edges } from '../viewer/orientation.ts';
import { preset } from '../viewer/presets.ts';
import { plan } from '../viewer/readahead.ts';

const plain = { ctrlKey: false, altKey: false, metaKey: false };

test('a birth date is the same day in every time zone', () => {
  for (const zone of ['Pacific/Kiritimati', 'America/Los_Angeles', 'UTC']) {
    process.env.TZ = zone;
    assert.equal(calendarDate('1970-01-01', 'en-GB'), '1 Jan 1970');
  }
  assert.equal(calendarDate('1961', 'en-GB'), '1961');
});

test('keys mean what the design lists, and nothing with a modifier', () => {
  assert.equal(actionOf({ key: 'PageDown', ...plain }), 'on-ten');
  assert.equal(actionOf({ key: 'L', ...plain }), 'measure');
  assert.equal(actionOf({ key: 'F8', ...plain }), 'preset-8');
  assert.equal(actionOf({ key: 'F9', ...plain }), undefined);
  assert.equal(actionOf({ key: 'w', ...plain, ctrlKey: true }), undefined);
});

test('pages know a key alone and a key after g', () => {
  assert.equal(keyName({ key: 'F', ...plain }, 'g'), 'g f');
  assert.equal(keyName({ key: 'v', ...plain }, ''), 'v');
  assert.equal(keyName({ key: 'v', ...plain, metaKey: true }, ''), undefined);
  assert.deepEqual([rowStep('j', false), rowStep('k', false), rowStep('ArrowDown', false), rowStep('ArrowDown', true)], [1, -1, 0, 1]);
});

test('what is read ahead lies first where the scrolling goes, and everything is in it once', () => {
  assert.deepEqual(plan(7, 3, 1), [3, 4, 5, 2, 6, 1, 0]);
  assert.deepEqual(plan(4, 3, -1), [3, 2, 1, 0]);
  assert.deepEqual(plan(1, 0, 1), [0]);
});

test('objects without a picture are told apart by their class', () => {
  assert.equal(undrawnKind('1.2.840.10008.5.1.4.1.1.88.33'), 'kind_structured_report');
  assert.equal(undrawnKind('1.2.840.10008.5.1.4.1.1.104.1'), 'kind_document');
  assert.equal(undrawnKind('1.2.840.10008.5.1.4.1.1.2'), undefined);
  assert.equal(undrawnKind('1.2.840.10008.5.1.4.1.1.481.1'), undefined);
  assert.equal(undrawnKind('1.2.840.10008.5.1.4.1.1.481.3'), 'kind_radiotherapy');
  assert.equal(undrawnKind('1.2.3'), undefined);
});

test('a series starts in the order of its numbers, frame by frame', () => {
  const instance = (uid: string, number: number | null, frames: number | null) => ({ uid, number, frames, sop_class: '1.2.840.10008.5.1.4.1.1.4' });
  const series = { uid: 's', number: 1, modality: 'MR', description: '', instances: [instance('b', 2, 2), instance('a', 1, null), instance('c', null, 1)] };

  assert.deepEqual(stopsOf(series).map((stop) => `${stop.instance.uid}${stop.frame}`), ['a1', 'b1', 'b2', 'c1']);
});

test('letters at the edges come from the file or not at all', () => {
  assert.deepEqual(edges([1, 0, 0], [0, 1, 0], ''), { left: 'R', right: 'L', top: 'A', bottom: 'P' });
  assert.deepEqual(edges(undefined, undefined, 'A\\F'), { left: 'P', right: 'A', top: 'H', bottom: 'F' });
  assert.equal(edges(undefined, undefined, ''), undefined);
});

test('presets: as sent, the modality’s, then the image’s further windows', () => {
  const sent = [{ centre: 1, width: 1 }, { centre: 2, width: 2 }];

  assert.equal(preset(1, 'CT', sent), undefined);
  assert.deepEqual(preset(3, 'CT', sent), { centre: -600, width: 1500 });
  assert.deepEqual(preset(8, 'CT', sent), sent[1]);
  assert.deepEqual(preset(2, 'MR', sent), sent[1]);
  assert.equal(preset(3, 'MR', sent), null);
});

test('key images go round', () => {
  const keys = ['a', 'b'].map((instance) => ({ series: 's', instance, frame: null, why: '' }));

  assert.equal(nextKey(keys, 'x', 1)?.instance, 'a');
  assert.equal(nextKey(keys, 'a', 1)?.instance, 'b');
  assert.equal(nextKey(keys, 'b', 1)?.instance, 'a');
  assert.equal(nextKey([], 'b', 1), undefined);
});

const shape = { rows: 1, columns: 2, samples: 1, bitsAllocated: 16, bitsStored: 12, highBit: 11, signed: true, planar: 0, photometric: 'MONOCHROME2' };

test('only the stored bits count, with their sign', () => {
  assert.deepEqual([...cut(Int16Array.of(0xfff, 0x1001), shape)], [-1, 1]);
  assert.deepEqual([...nativeFrame(Uint8Array.of(0x0f, 0xff, 0x00, 0x07), 1, shape, false, false)], [-1, 7]);
});

test('a frame that is not there in full is refused', () => {
  assert.throws(() => nativeFrame(new Uint8Array(5), 2, shape, true, false), /shorter/);
});

test('frames of single bits may begin inside a byte', () => {
  const bits = { ...shape, columns: 3, bitsAllocated: 1, bitsStored: 1, highBit: 0, signed: false };

  assert.deepEqual([...nativeFrame(Uint8Array.of(0b00101001), 2, bits, true, false)], [1, 0, 1]);
});

test('a page asks by itself while it is in view, and with nought only when somebody does something there', () => {
  const every = { visible: true, touched: false, sinceMs: 60_000, everyMs: 60_000 };
  assert.equal(isDue(every), true);
  assert.equal(isDue({ ...every, sinceMs: 59_000 }), false);
  assert.equal(isDue({ ...every, visible: false, touched: true }), false);
  assert.equal(isDue({ ...every, everyMs: 0 }), false);
  assert.equal(isDue({ ...every, everyMs: 0, touched: true }), true);
  assert.equal(isDue({ ...every, everyMs: 0, touched: true, sinceMs: 29_000 }), false);
});
