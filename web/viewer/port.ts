/**
 * The frame the image stands in: a plain 2D canvas, zoom, pan, and where a pixel lies on the screen.
 *
 * Grey values are computed here and not on the graphics card, so that every machine shows the same pixels and no
 * picture is too large (field faults F59, F65).
 */

import { isColour, paintColour } from './colour.ts';
import type { Decoded } from './decode.worker.ts';
import { type Look, openingWindow, paintGrey, type Window } from './grey.ts';
import type { Picture } from './header.ts';
import type { Point } from './measure.ts';

export class Port {
  readonly canvas = document.createElement('canvas');
  look: Look = { window: undefined, invert: false };
  zoom = 1;
  drawn: () => void = () => undefined;
  #pan: [number, number] = [0, 0];
  #source = document.createElement('canvas');
  #image: ImageData | undefined;
  #stale = false;
  #picture: Picture | undefined;
  #decoded: Decoded | undefined;
  #due = 0;

  constructor(readonly element: HTMLElement) {
    this.canvas.className = 'port__image';
    this.canvas.setAttribute('role', 'img');
    element.prepend(this.canvas);
    new ResizeObserver(() => {
      this.draw();
    }).observe(element);
  }

  show(picture: Picture, decoded: Decoded): void {
    if (this.#picture !== undefined && (this.#picture.rows !== picture.rows || this.#picture.columns !== picture.columns)) this.fit();
    this.#picture = picture;
    this.#decoded = decoded;
    this.paint();
  }

  clear(): void {
    this.#picture = undefined;
    this.#decoded = undefined;
    this.draw();
  }

  /** Grey or colour values anew with the next drawing, after the image or its look has changed. */
  paint(): void {
    this.#stale = true;
    this.draw();
  }

  /** The window in force; undefined for colour and while a table of the file is used. */
  get window(): Window | undefined {
    if (this.#picture === undefined || this.#decoded === undefined || isColour(this.#decoded.photometric)) return undefined;
    if (this.look.window === undefined && this.#picture.voiTable !== undefined) return undefined;
    return this.look.window ?? openingWindow(this.#picture, this.#decoded.pixels);
  }

  /** Widens the window and moves its centre, by shares of its width. */
  adjustWindow(wider: number, up: number): void {
    if (this.#picture === undefined || this.#decoded === undefined || isColour(this.#decoded.photometric)) return;
    const { centre, width } = this.look.window ?? openingWindow(this.#picture, this.#decoded.pixels);
    const step = Math.max(Math.abs(width), 1e-6);
    this.look = { ...this.look, window: { centre: centre + up * step, width: Math.max(step * (1 + wider), 1e-6) } };
    this.paint();
  }

  fit(): void {
    this.zoom = 1;
    this.#pan = [0, 0];
    this.draw();
  }

  pan(x: number, y: number): void {
    this.#pan = [this.#pan[0] + x, this.#pan[1] + y];
    this.draw();
  }

  /** Magnifies about a point of the screen, by default the middle. */
  magnify(factor: number, about?: Point): void {
    const zoom = Math.min(40, Math.max(0.2, this.zoom * factor));
    const [x, y] = about ?? [this.element.clientWidth / 2, this.element.clientHeight / 2];
    const ratio = zoom / this.zoom;
    const fromMiddle: Point = [x - this.element.clientWidth / 2, y - this.element.clientHeight / 2];
    this.#pan = [fromMiddle[0] - (fromMiddle[0] - this.#pan[0]) * ratio, fromMiddle[1] - (fromMiddle[1] - this.#pan[1]) * ratio];
    this.zoom = zoom;
    this.draw();
  }

  /** Screen pixels for one image pixel across. */
  get scale(): number {
    return this.#frame().scale;
  }

  toScreen([x, y]: Point): Point {
    const { left, top, scale, aspect } = this.#frame();
    return [left + x * scale, top + y * scale * aspect];
  }

  toImage([x, y]: Point): Point {
    const { left, top, scale, aspect } = this.#frame();
    return [(x - left) / scale, (y - top) / (scale * aspect)];
  }

  middle(): Point {
    const [x, y] = this.toImage([this.element.clientWidth / 2, this.element.clientHeight / 2]);
    return [Math.floor(x) + 0.5, Math.floor(y) + 0.5];
  }

  draw(): void {
    if (this.#due !== 0) return;
    this.#due = requestAnimationFrame(() => {
      this.#due = 0;
      this.#drawNow();
    });
  }

  #paintNow(picture: Picture, decoded: Decoded): void {
    const { rows, columns } = picture;
    if (this.#image?.width !== columns || this.#image.height !== rows) {
      this.#image = new ImageData(columns, rows);
      Object.assign(this.#source, { width: columns, height: rows });
    }
    const { data } = this.#image;
    if (isColour(decoded.photometric)) paintColour(decoded.pixels, { ...picture, ...decoded }, this.look.invert, data);
    else paintGrey(decoded.pixels, picture, this.look, new Uint32Array(data.buffer));
    this.#source.getContext('2d')?.putImageData(this.#image, 0, 0);
    this.#stale = false;
  }

  #drawNow(): void {
    if (this.#stale && this.#picture !== undefined && this.#decoded !== undefined) this.#paintNow(this.#picture, this.#decoded);
    const sharp = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.element.clientWidth * sharp));
    const height = Math.max(1, Math.round(this.element.clientHeight * sharp));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext('2d', { alpha: false });
    if (context === null) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    if (this.#picture !== undefined) {
      const { left, top, scale, aspect } = this.#frame();
      context.imageSmoothingEnabled = scale * sharp < 24;
      context.imageSmoothingQuality = 'high';
      context.setTransform(sharp * scale, 0, 0, sharp * scale * aspect, sharp * left, sharp * top);
      context.drawImage(this.#source, 0, 0);
    }
    this.drawn();
  }

  #frame(): { left: number; top: number; scale: number; aspect: number } {
    const { clientWidth: width, clientHeight: height } = this.element;
    const columns = this.#picture?.columns ?? 1;
    const rows = this.#picture?.rows ?? 1;
    const aspect = this.#picture?.aspect ?? 1;
    const scale = this.zoom * Math.min(width / columns, height / (rows * aspect));
    return {
      left: (width - columns * scale) / 2 + this.#pan[0],
      top: (height - rows * scale * aspect) / 2 + this.#pan[1],
      scale,
      aspect,
    };
  }
}
