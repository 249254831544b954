/**
 * Slices in the order of the body, not of arrival.
 *
 * Along the normal of the planes where all of them are parallel and have a position; else by number; a tie is broken
 * by dimension index, frame and UID, so that the order never depends on what came first. The stack runs the way the
 * numbers run, so that "image 84" of a report is the eighty-fourth. Source: PS3.3 C.7.6.2.
 */

import { compareUid } from './open.ts';

export type Vector = readonly [number, number, number];

export interface Placed {
  uid: string;
  number: number | null;
  frame: number;
  dimension: readonly number[];
  position: Vector | undefined;
  row: Vector | undefined;
  column: Vector | undefined;
}

export function inOrder<T extends Placed>(frames: readonly T[]): T[] {
  const along = heights(frames);
  const ranked = frames.map((frame, i) => ({ frame, height: along?.[i] ?? 0 }));
  const sign = along !== undefined && runsAgainstNumbers(ranked) ? -1 : 1;
  ranked.sort(
    (a, b) =>
      sign * (a.height - b.height) ||
      (a.frame.number ?? Infinity) - (b.frame.number ?? Infinity) ||
      (a.frame.uid === b.frame.uid
        ? compareIndex(a.frame.dimension, b.frame.dimension) || a.frame.frame - b.frame.frame
        : compareUid(a.frame.uid, b.frame.uid)),
  );
  return ranked.map((r) => r.frame);
}

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** Distance of each plane along the common normal, in hundredths of a millimetre; undefined without one. */
function heights(frames: readonly Placed[]): number[] | undefined {
  const first = frames[0];
  if (first?.row === undefined || first.column === undefined) return undefined;
  const normal = cross(first.row, first.column);
  const result: number[] = [];
  for (const { position, row, column } of frames) {
    if (position === undefined || row === undefined || column === undefined) return undefined;
    if (dot(cross(row, column), normal) < 0.99) return undefined;
    result.push(Math.round(dot(position, normal) * 100));
  }
  return result;
}

function runsAgainstNumbers(ranked: readonly { frame: Placed; height: number }[]): boolean {
  let agreement = 0;
  const numbered = ranked.filter((r) => r.frame.number !== null);
  const centre = numbered.reduce((sum, r) => sum + (r.frame.number ?? 0), 0) / (numbered.length || 1);
  const middle = numbered.reduce((sum, r) => sum + r.height, 0) / (numbered.length || 1);
  for (const { frame, height } of numbered) agreement += ((frame.number ?? 0) - centre) * (height - middle);
  return agreement < 0;
}

function compareIndex(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
