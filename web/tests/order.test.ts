import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOrder, type Placed, type Vector } from '../viewer/order.ts';

const axial = { row: [1, 0, 0] as Vector, column: [0, 1, 0] as Vector };
const slice = (uid: string, z: number | undefined, number: number | null = 1): Placed => ({
  uid,
  number,
  frame: 1,
  dimension: [],
  position: z === undefined ? undefined : [0, 0, z],
  row: axial.row,
  column: axial.column,
});
const uids = (frames: Placed[]) => frames.map((frame) => frame.uid).join('');

test('slices of equal number lie in the order of the body', () => {
  const stack = [slice('c', 5), slice('a', -5), slice('b', 0)];

  assert.equal(uids(inOrder(stack)), 'abc');
});

test('the stack runs the way the numbers run', () => {
  const stack = [slice('a', -5, 3), slice('b', 0, 2), slice('c', 5, 1)];

  assert.equal(uids(inOrder(stack)), 'cba');
});

test('geometry wins over a number that is wrong', () => {
  const stack = [slice('a', 0, 1), slice('b', 1, 4), slice('c', 2, 3), slice('d', 3, 9)];

  assert.equal(uids(inOrder(stack)), 'abcd');
});

test('without positions the number decides, then the identifier', () => {
  const stack = [slice('c', undefined, 2), slice('b', undefined, 1), slice('a', undefined, 2), slice('d', undefined, null)];

  assert.equal(uids(inOrder(stack)), 'bacd');
});

test('planes that are not parallel are not ordered along a normal', () => {
  const sagittal: Placed = { ...slice('b', 0, 1), row: [0, 1, 0], column: [0, 0, -1] };

  assert.equal(uids(inOrder([slice('c', -9, 3), sagittal, slice('a', 9, 2)])), 'bac');
});

test('frames of one file follow their positions, then their dimension index', () => {
  const frame = (n: number, z: number, dimension: number[]): Placed => ({ ...slice('x', z), frame: n, dimension });
  const stack = [frame(1, 4, [2, 1]), frame(2, 0, [1, 2]), frame(3, 0, [1, 1]), frame(4, 2, [1, 1])];

  assert.deepEqual(inOrder(stack).map((f) => f.frame), [3, 2, 4, 1]);
});

test('the order does not depend on what came first', () => {
  const stack = [slice('a', 1, 2), slice('b', 1, 2), slice('c', 0, 7), slice('d', 3, 5)];

  assert.equal(uids(inOrder(stack)), uids(inOrder([...stack].reverse())));
});
