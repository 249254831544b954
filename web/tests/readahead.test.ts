import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Readahead } from '../viewer/readahead.ts';

const IMAGE = () => new Response(new ArrayBuffer(8), { headers: { 'Content-Type': 'application/dicom' } });
const LATER = () => new Response('', { status: 503, headers: { 'X-Isthmus-Reason': 'preparing', 'Retry-After': '90' } });

test('an image that a slow archive prepares is asked for again when it says, and comes', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const answers = [LATER, LATER, IMAGE];
  mock.method(globalThis, 'fetch', () => Promise.resolve((answers.shift() ?? IMAGE)()));
  const told: number[] = [];
  const failed: string[] = [];
  const arrived = new Promise<string>((resolve) => {
    const ahead = new Readahead(
      (url) => resolve(url),
      (url) => failed.push(url),
      () => undefined,
      (_, seconds) => told.push(seconds),
    );
    ahead.aim(['/instances/1']);
  });
  for (let i = 0; i < 4; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(60_000);
  }

  assert.equal(await arrived, '/instances/1');
  assert.deepEqual(told, [90, 90]);
  assert.deepEqual(failed, []);
  mock.reset();
});
