/**
 * How large a pixel is, and in which sense.
 *
 * A projection shows the detector unless magnification was corrected; without a spacing a length is counted in
 * pixels and never called millimetres. Source: PS3.3 §10.7, C.8.5.5 (ultrasound regions).
 */

export type Sense = 'body' | 'detector' | 'corrected' | 'none';

export interface Spacing {
  row: number;
  column: number;
  sense: Sense;
}

export interface Region {
  left: number;
  top: number;
  right: number;
  bottom: number;
  row: number;
  column: number;
}

export interface SpacingFacts {
  modality: string;
  pixel: readonly number[];
  imager: readonly number[];
  magnification: number | undefined;
  calibration: string;
}

const PROJECTION = new Set(['CR', 'DX', 'MG', 'XA', 'RF', 'PX', 'IO', 'RG', 'RTIMAGE']);
const NONE: Spacing = { row: 1, column: 1, sense: 'none' };

export function spacingOf(facts: SpacingFacts): Spacing {
  const pixel = pair(facts.pixel);
  const imager = pair(facts.imager);
  if (!PROJECTION.has(facts.modality)) {
    return pixel === undefined ? NONE : { row: pixel[0], column: pixel[1], sense: 'body' };
  }
  if (pixel !== undefined && (facts.calibration !== '' || (imager !== undefined && differ(pixel, imager)))) {
    return { row: pixel[0], column: pixel[1], sense: 'corrected' };
  }
  const factor = facts.magnification ?? 0;
  if (imager !== undefined && factor > 0) {
    return { row: imager[0] / factor, column: imager[1] / factor, sense: 'corrected' };
  }
  const detector = imager ?? pixel;
  return detector === undefined ? NONE : { row: detector[0], column: detector[1], sense: 'detector' };
}

/** The spacing of the ultrasound region that holds both ends of a line. */
export function regionSpacing(regions: readonly Region[], a: readonly number[], b: readonly number[]): Spacing | undefined {
  const holds = (r: Region, [x = 0, y = 0]: readonly number[]) => x >= r.left && x <= r.right && y >= r.top && y <= r.bottom;
  const region = regions.find((r) => holds(r, a) && holds(r, b));
  return region === undefined ? undefined : { row: region.row, column: region.column, sense: 'body' };
}

function pair(values: readonly number[]): [number, number] | undefined {
  const [row = 0, column = 0] = values;
  return row > 0 && column > 0 ? [row, column] : undefined;
}

function differ(a: readonly [number, number], b: readonly [number, number]): boolean {
  return Math.abs(a[0] / b[0] - 1) > 0.001 || Math.abs(a[1] / b[1] - 1) > 0.001;
}
