/**
 * What a DICOM file says about one of its frames.
 *
 * Each fact is looked for in the frame's own functional group, then in the shared one, then at the root.
 * Source: PS3.3 C.7.6.16, C.7.6.3, C.11.1, C.11.2.
 */

import { type DataSet, type Element } from 'dicom-parser';
import type { ColourRules } from './colour.ts';
import type { GreyRules, Table, Window } from './grey.ts';
import type { Vector } from './order.ts';
import { type Region, type Spacing, spacingOf } from './spacing.ts';

export interface Shape {
  rows: number;
  columns: number;
  samples: number;
  bitsAllocated: number;
  bitsStored: number;
  highBit: number;
  signed: boolean;
  planar: number;
  photometric: string;
}

export interface Picture extends GreyRules, ColourRules, Shape {
  modality: string;
  position: Vector | undefined;
  row: Vector | undefined;
  column: Vector | undefined;
  dimension: readonly number[];
  spacing: Spacing;
  regions: readonly Region[];
  aspect: number;
  sides: string;
  thickness: number | undefined;
  lossy: boolean;
  frameTime: number | undefined;
}

const LOSSY = /^1\.2\.840\.10008\.1\.2\.4\.(50|51|81|91|203|112)$/;

export function frameCount(data: DataSet): number {
  return Math.max(1, number(data, 'x00280008') ?? 1);
}

export function readPicture(data: DataSet, frame: number): Picture {
  const group = (tag: string): DataSet => {
    const own = item(data.elements.x52009230, frame - 1)?.elements[tag];
    const shared = item(data.elements.x52009229, 0)?.elements[tag];
    return item(own, 0) ?? item(shared, 0) ?? data;
  };
  const shape = readShape(data);
  const measures = group('x00289110');
  const modality = data.string('x00080060') ?? '';
  const spacing = spacingOf({
    modality,
    pixel: numbers(measures, 'x00280030'),
    imager: numbers(data, 'x00181164'),
    magnification: number(data, 'x00181114'),
    calibration: data.string('x00280a02') ?? '',
  });
  const directions = numbers(group('x00209116'), 'x00200037');
  const ratio = numbers(data, 'x00280034');
  return {
    ...shape,
    ...readGrey(data, group, shape),
    modality,
    palette: readPalette(data, shape),
    position: vector(numbers(group('x00209113'), 'x00200032')),
    row: vector(directions),
    column: vector(directions.slice(3)),
    dimension: integers(group('x00209111'), 'x00209157'),
    spacing,
    regions: readRegions(data),
    aspect: spacing.sense === 'none' && ratio.length === 2 ? (ratio[0] ?? 1) / (ratio[1] || 1) : spacing.row / spacing.column,
    sides: data.string('x00200020') ?? '',
    thickness: number(measures, 'x00180050'),
    lossy: data.string('x00282110') === '01' || LOSSY.test(data.string('x00020010') ?? ''),
    frameTime: number(data, 'x00181063') ?? rate(number(data, 'x00082144') ?? number(data, 'x00180040')),
  };
}

function readShape(data: DataSet): Shape {
  const bitsAllocated = data.uint16('x00280100') ?? 16;
  const bitsStored = data.uint16('x00280101') ?? bitsAllocated;
  return {
    rows: data.uint16('x00280010') ?? 0,
    columns: data.uint16('x00280011') ?? 0,
    samples: data.uint16('x00280002') ?? 1,
    bitsAllocated,
    bitsStored,
    highBit: data.uint16('x00280102') ?? bitsStored - 1,
    signed: data.uint16('x00280103') === 1,
    planar: data.uint16('x00280006') ?? 0,
    photometric: data.string('x00280004') ?? 'MONOCHROME2',
  };
}

function readGrey(data: DataSet, group: (tag: string) => DataSet, shape: Shape): GreyRules {
  const voi = group('x00289132');
  const scale = group('x00289145');
  const centres = numbers(voi, 'x00281050');
  const widths = numbers(voi, 'x00281051');
  const windows: Window[] = [];
  centres.forEach((centre, i) => {
    const width = widths[i];
    if (width !== undefined && width > 0) windows.push({ centre, width });
  });
  const intercept = number(scale, 'x00281052') ?? 0;
  const below = shape.signed || intercept < 0;
  return {
    slope: number(scale, 'x00281053') ?? 1,
    intercept,
    modalityTable: readTable(item(data.elements.x00283000, 0), 'x00283002', 'x00283006', shape.signed),
    voiTable: readTable(item(voi.elements.x00283010, 0), 'x00283002', 'x00283006', below),
    voiFunction: voi.string('x00281056') ?? 'LINEAR',
    windows,
    inverse: shape.photometric === 'MONOCHROME1' || data.string('x20500020') === 'INVERSE',
    padding: readPadding(data, shape.signed),
  };
}

function readPadding(data: DataSet, signed: boolean): readonly [number, number] | undefined {
  const read = (tag: string) => (signed ? data.int16(tag) : data.uint16(tag));
  const value = read('x00280120');
  if (value === undefined) return undefined;
  const limit = read('x00280121') ?? value;
  return [Math.min(value, limit), Math.max(value, limit)];
}

function readPalette(data: DataSet, shape: Shape): readonly Table[] | undefined {
  if (shape.photometric !== 'PALETTE COLOR') return undefined;
  const tables = ['1', '2', '3'].map((n) => readTable(data, `x0028110${n}`, `x0028120${n}`, shape.signed));
  return tables.every((table) => table !== undefined) ? tables : undefined;
}

/** A lookup table; none as its number of entries means 65 536, and eight-bit entries may be packed in words. */
function readTable(data: DataSet | undefined, descriptor: string, content: string, signed: boolean): Table | undefined {
  const element = data?.elements[content];
  const count = data?.uint16(descriptor, 0);
  if (data === undefined || element === undefined || count === undefined) return undefined;
  const size = count || 65536;
  const bits = data.uint16(descriptor, 2) ?? 16;
  const first = (signed ? data.int16(descriptor, 1) : data.uint16(descriptor, 1)) ?? 0;
  if (element.length < 2 * size) {
    return { first, bits: 8, entries: data.byteArray.subarray(element.dataOffset, element.dataOffset + size) };
  }
  return { first, bits, entries: Uint16Array.from({ length: size }, (_, i) => data.uint16(content, i) ?? 0) };
}

function readRegions(data: DataSet): Region[] {
  return (data.elements.x00186011?.items ?? []).flatMap(({ dataSet: region }) => {
    const column = region?.double('x0018602c');
    const row = region?.double('x0018602e');
    if (region?.uint16('x00186024') !== 3 || !column || !row) return []; // 3 = centimetres
    return {
      left: region.uint32('x00186018') ?? 0,
      top: region.uint32('x0018601a') ?? 0,
      right: region.uint32('x0018601c') ?? 0,
      bottom: region.uint32('x0018601e') ?? 0,
      row: Math.abs(row) * 10,
      column: Math.abs(column) * 10,
    };
  });
}

function item(element: Element | undefined, index: number): DataSet | undefined {
  return element?.items?.[index]?.dataSet;
}

function numbers(data: DataSet, tag: string): number[] {
  return (data.string(tag) ?? '')
    .split('\\')
    .map((text) => Number.parseFloat(text))
    .filter((value) => Number.isFinite(value));
}

function number(data: DataSet, tag: string): number | undefined {
  return numbers(data, tag)[0];
}

function integers(data: DataSet, tag: string): number[] {
  const count = (data.elements[tag]?.length ?? 0) / 4;
  return Array.from({ length: count }, (_, i) => data.uint32(tag, i) ?? 0);
}

function vector([x, y, z]: readonly number[]): Vector | undefined {
  return x === undefined || y === undefined || z === undefined ? undefined : [x, y, z];
}

function rate(perSecond: number | undefined): number | undefined {
  return perSecond === undefined || perSecond <= 0 ? undefined : 1000 / perSecond;
}
