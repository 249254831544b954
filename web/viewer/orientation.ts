/** Letters at the edges come from the file or not at all. Source: PS3.3 C.7.6.1.1.1. */

import type { Vector } from './order.ts';

export interface Edges {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

const OPPOSITE: Readonly<Record<string, string>> = { R: 'L', L: 'R', A: 'P', P: 'A', H: 'F', F: 'H' };

/** The four edges, from the direction of rows and columns, else from (0020,0020); none otherwise. */
export function edges(row: Vector | undefined, column: Vector | undefined, sides: string): Edges | undefined {
  const [alongRow = '', alongColumn = ''] = sides.split('\\');
  const right = row === undefined ? letters(alongRow) : direction(row);
  const bottom = column === undefined ? letters(alongColumn) : direction(column);
  if (right === '' || bottom === '') return undefined;
  return { left: opposite(right), right, top: opposite(bottom), bottom };
}

function direction(v: Vector): string {
  const parts: [number, string][] = [
    [Math.abs(v[0]), v[0] < 0 ? 'R' : 'L'],
    [Math.abs(v[1]), v[1] < 0 ? 'A' : 'P'],
    [Math.abs(v[2]), v[2] < 0 ? 'F' : 'H'],
  ];
  return parts
    .filter(([size]) => size > 0.2)
    .sort(([a], [b]) => b - a)
    .map(([, letter]) => letter)
    .join('');
}

function letters(text: string): string {
  return /^[RLAPHF]{1,3}$/.test(text) ? text : '';
}

function opposite(text: string): string {
  return [...text].map((letter) => OPPOSITE[letter] ?? '').join('');
}
