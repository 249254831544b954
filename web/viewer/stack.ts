/** A series as a stack of frames: which one is shown, what has arrived, and in what order they lie. */

import type { DataSet } from 'dicom-parser';
import { decodeFrame, NoPixels, parse } from './decode.ts';
import type { Decoded } from './decode.worker.ts';
import { frameCount, type Picture, readPicture } from './header.ts';
import { type Instance, type Series, stopsOf } from './open.ts';
import { inOrder, type Placed } from './order.ts';
import { plan, Readahead } from './readahead.ts';

const DECODED_BYTES = 384 * 2 ** 20;
const FILE_BYTES = 768 * 2 ** 20;

export interface Slide extends Placed {
  instance: Instance;
  url: string;
  picture: Picture | undefined;
}

export interface Listener {
  shown(slide: Slide, picture: Picture, decoded: Decoded): void;
  waiting(slide: Slide, seconds?: number): void;
  trouble(slide: Slide, what: 'failed' | 'undecodable' | 'no_pixels'): void;
  progress(): void;
  stopped(): void;
  withdrawn(): void;
}

export class Stack {
  series: Series | undefined;
  slides: Slide[] = [];
  at = 0;
  #direction: 1 | -1 = 1;
  #untouched = true;
  #turn = 0;
  readonly #data = new Map<string, DataSet>();
  readonly #decoded = new Map<string, Promise<Decoded>>();
  readonly #broken = new Set<string>();
  readonly #readahead = new Readahead(
    (url, bytes) => {
      this.#arrived(url, bytes);
    },
    (url) => {
      if (this.current?.url === url) this.#tell.trouble(this.current, 'failed');
      this.#tell.progress();
    },
    () => {
      this.shut();
      this.#tell.stopped();
    },
    (url, seconds) => {
      if (this.current?.url === url) this.#tell.waiting(this.current, seconds);
    },
    () => {
      this.shut();
      this.#tell.withdrawn();
    },
  );
  readonly #tell: Listener;

  constructor(
    private readonly addressOf: (instance: Instance) => string,
    listener: Listener,
  ) {
    this.#tell = listener;
  }

  get current(): Slide | undefined {
    return this.slides[this.at];
  }

  /** Opens a series at an instance and frame, else at its beginning; what was on its way for another is given up. */
  open(series: Series, sop?: string, frame?: number | null): void {
    this.#readahead.stop();
    this.#readahead.again();
    this.series = series;
    this.#direction = 1;
    this.slides = stopsOf(series).map(({ instance, frame: number }) => this.#slide(instance, number));
    this.#untouched = sop === undefined;
    this.at = Math.max(0, this.find(sop, frame));
    for (const url of new Set(this.slides.map((slide) => slide.url))) this.#describe(url);
    this.#arrange();
    this.#makeRoom();
    if (this.slides.length > 0) this.#show();
    this.#tell.progress();
  }

  find(sop: string | undefined, frame?: number | null): number {
    return this.slides.findIndex((slide) => slide.uid === sop && (frame == null || slide.frame === frame));
  }

  go(index: number): void {
    const target = Math.min(this.slides.length - 1, Math.max(0, index));
    if (target === this.at || target < 0) return;
    this.#direction = target < this.at ? -1 : 1;
    this.#untouched = false;
    this.at = target;
    this.#show();
  }

  again(): void {
    this.#readahead.again();
    this.#show();
  }

  cancel(): void {
    this.#readahead.stop();
  }

  /** Forgets every image, and takes no more. */
  shut(): void {
    this.#readahead.stop();
    this.#turn += 1;
    this.slides = [];
    this.series = undefined;
    this.#data.clear();
    this.#decoded.clear();
  }

  /** How many of the images are here, of how many, and their size. */
  get loaded(): { here: number; all: number; bytes: number } {
    const here = this.slides.filter((slide) => this.#data.has(slide.url));
    const urls = new Set(here.map((slide) => slide.url));
    const bytes = [...urls].reduce((sum, url) => sum + (this.#data.get(url)?.byteArray.length ?? 0), 0);
    return { here: here.length, all: this.slides.length, bytes };
  }

  #slide(instance: Instance, frame: number): Slide {
    return {
      instance,
      url: this.addressOf(instance),
      uid: instance.uid,
      number: instance.number,
      frame,
      dimension: [],
      position: undefined,
      row: undefined,
      column: undefined,
      picture: undefined,
    };
  }

  #arrived(url: string, bytes: ArrayBuffer): void {
    try {
      this.#data.set(url, parse(bytes));
    } catch {
      this.#broken.add(url);
    }
    this.#describe(url);
    this.#arrange();
    this.#tell.progress();
    if (this.current?.url === url) this.#show();
  }

  /** Puts what the file says onto its slides; the file knows its number of frames best. */
  #describe(url: string): void {
    const data = this.#data.get(url);
    const first = this.slides.findIndex((slide) => slide.url === url);
    const slide = this.slides[first];
    if (data === undefined || slide === undefined || slide.picture !== undefined) return;
    const mine = this.slides.filter((other) => other.url === url);
    const frames = Array.from({ length: frameCount(data) }, (_, i) => mine[i] ?? this.#slide(slide.instance, i + 1));
    const shown = this.current;
    if (frames.length !== mine.length) {
      this.slides = this.slides.filter((other) => other.url !== url);
      this.slides.splice(first, 0, ...frames);
      this.at = Math.max(0, shown === undefined ? 0 : this.slides.indexOf(shown));
    }
    for (const [i, one] of frames.entries()) {
      const picture = readPicture(data, one.frame === i + 1 ? i + 1 : one.frame);
      Object.assign(one, { picture, position: picture.position, row: picture.row, column: picture.column, dimension: picture.dimension });
    }
  }

  /** Orders the stack once all of it is known, and stays at the image that is shown. */
  #arrange(): void {
    if (!this.slides.every((slide) => slide.picture !== undefined || this.#broken.has(slide.url))) return;
    const shown = this.current;
    const sorted = inOrder(this.slides);
    if (sorted.every((slide, i) => slide === this.slides[i])) return;
    this.slides = sorted;
    this.at = this.#untouched || shown === undefined ? 0 : this.slides.indexOf(shown);
    this.#show();
  }

  #show(): void {
    const slide = this.current;
    if (slide === undefined) return;
    const order = plan(this.slides.length, this.at, this.#direction);
    this.#readahead.aim(order.map((i) => this.slides[i]?.url ?? slide.url).filter((url) => !this.#data.has(url) && !this.#broken.has(url)));
    this.#turn += 1;
    const turn = this.#turn;
    if (this.#broken.has(slide.url)) this.#tell.trouble(slide, 'undecodable');
    else if (slide.picture === undefined && this.#readahead.hasFailed(slide.url)) this.#tell.trouble(slide, 'failed');
    else if (slide.picture === undefined) this.#tell.waiting(slide);
    else {
      const picture = slide.picture;
      this.#decode(slide, picture).then(
        (decoded) => {
          if (turn !== this.#turn) return;
          this.#tell.shown(slide, picture, decoded);
          this.#prepare(order.slice(1, 4));
        },
        (problem: unknown) => {
          if (turn === this.#turn) this.#tell.trouble(slide, problem instanceof NoPixels ? 'no_pixels' : 'undecodable');
        },
      );
    }
  }

  #prepare(next: readonly number[]): void {
    for (const i of next) {
      const slide = this.slides[i];
      if (slide?.picture !== undefined) this.#decode(slide, slide.picture).catch(() => undefined);
    }
  }

  #decode(slide: Slide, picture: Picture): Promise<Decoded> {
    const name = `${slide.url} ${slide.frame}`;
    const data = this.#data.get(slide.url);
    const known = this.#decoded.get(name);
    this.#decoded.delete(name);
    const decoding = known ?? (data === undefined ? Promise.reject(new NoPixels()) : decodeFrame(data, slide.frame, picture));
    this.#decoded.set(name, decoding);
    const size = picture.rows * picture.columns * picture.samples * 2;
    const kept = Math.max(4, Math.floor(DECODED_BYTES / Math.max(1, size)));
    for (const oldest of this.#decoded.keys()) {
      if (this.#decoded.size <= kept) break;
      this.#decoded.delete(oldest);
    }
    return decoding;
  }

  /** Lets go of the files of other series when they have become too many. */
  #makeRoom(): void {
    const mine = new Set(this.slides.map((slide) => slide.url));
    let bytes = [...this.#data.values()].reduce((sum, data) => sum + data.byteArray.length, 0);
    for (const [url, data] of this.#data) {
      if (bytes <= FILE_BYTES) return;
      if (mine.has(url)) continue;
      bytes -= data.byteArray.length;
      this.#data.delete(url);
      this.#readahead.forget(url);
    }
  }
}
