/** From the bytes of a file to the pixels of one of its frames; compressed frames go to two workers. */

import * as dicomParser from 'dicom-parser';
import type { DataSet, Element } from 'dicom-parser';
import { inflateRaw } from 'pako';
import type { Decoded, Task } from './decode.worker.ts';
import { frameCount, type Picture } from './header.ts';
import { nativeFrame } from './native.ts';

const BIG_ENDIAN = '1.2.840.10008.1.2.2';

/** An object that holds no pixels, though its class let us expect some. */
export class NoPixels extends Error {}

export function parse(bytes: ArrayBuffer): DataSet {
  return dicomParser.parseDicom(new Uint8Array(bytes), {
    inflater: (whole: Uint8Array, position: number) => {
      const body = inflateRaw(whole.subarray(position));
      const all = new Uint8Array(position + body.length);
      all.set(whole.subarray(0, position));
      all.set(body, position);
      return all;
    },
  });
}

export async function decodeFrame(data: DataSet, frame: number, picture: Picture): Promise<Decoded> {
  const element = data.elements.x7fe00010 ?? data.elements.x7fe00008 ?? data.elements.x7fe00009;
  if (element === undefined || picture.rows === 0 || picture.columns === 0) throw new NoPixels();
  const syntax = data.string('x00020010') ?? '1.2.840.10008.1.2';
  if (element.encapsulatedPixelData === true) {
    const bytes = compressed(data, element, frame - 1).slice();
    return ask({ id: 0, syntax, shape: shapeOf(picture), bytes });
  }
  const all = new Uint8Array(data.byteArray.buffer, data.byteArray.byteOffset + element.dataOffset, element.length);
  const float = element !== data.elements.x7fe00010;
  const pixels = nativeFrame(all, frame, picture, syntax !== BIG_ENDIAN, float);
  return { pixels, photometric: picture.photometric, planar: picture.planar };
}

function compressed(data: DataSet, element: Element, index: number): Uint8Array {
  const fragments = element.fragments ?? [];
  if ((element.basicOffsetTable ?? []).length > 0) return dicomParser.readEncapsulatedImageFrame(data, element, index) as Uint8Array;
  const frames = frameCount(data);
  if (frames === 1) return dicomParser.readEncapsulatedPixelDataFromFragments(data, element, 0, fragments.length) as Uint8Array;
  if (fragments.length === frames) return dicomParser.readEncapsulatedPixelDataFromFragments(data, element, index) as Uint8Array;
  const offsets = dicomParser.createJPEGBasicOffsetTable(data, element);
  return dicomParser.readEncapsulatedImageFrame(data, element, index, offsets) as Uint8Array;
}

function shapeOf(picture: Picture): Task['shape'] {
  const { rows, columns, samples, bitsAllocated, bitsStored, highBit, signed, planar, photometric } = picture;
  return { rows, columns, samples, bitsAllocated, bitsStored, highBit, signed, planar, photometric };
}

interface Waiting {
  resolve: (decoded: Decoded) => void;
  reject: (problem: Error) => void;
}

const waiting = new Map<number, Waiting>();
const workers: Worker[] = [];
let asked = 0;

function ask(task: Task): Promise<Decoded> {
  asked += 1;
  const id = asked;
  if (workers.length < 2) workers.push(startWorker());
  const worker = workers[id % workers.length];
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker?.postMessage({ ...task, id }, [task.bytes.buffer as ArrayBuffer]);
  });
}

function startWorker(): Worker {
  const worker = new Worker(new URL('./decode.worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<{ id: number; decoded?: Decoded; problem?: string }>) => {
    const asker = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.decoded === undefined) asker?.reject(new Error(data.problem));
    else asker?.resolve(data.decoded);
  });
  worker.addEventListener('error', (event) => {
    for (const asker of waiting.values()) asker.reject(new Error(event.message));
    waiting.clear();
  });
  return worker;
}
