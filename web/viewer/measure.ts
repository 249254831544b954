/** Lengths on the image, by pointer or by keys; drawn over it, never into it. */

import type { Picture } from './header.ts';
import type { Port } from './port.ts';
import { regionSpacing, type Sense } from './spacing.ts';
import { language, say } from './words.ts';

export type Point = readonly [number, number];

export interface Line {
  a: Point;
  b: Point;
}

/** Length of a line in image pixels: in millimetres where the picture allows it. */
export function lengthOf({ a, b }: Line, picture: Pick<Picture, 'spacing' | 'regions'>): { value: number; sense: Sense } {
  const spacing = regionSpacing(picture.regions, a, b) ?? picture.spacing;
  return { value: Math.hypot((b[0] - a[0]) * spacing.column, (b[1] - a[1]) * spacing.row), sense: spacing.sense };
}

function lengthWords(line: Line, picture: Picture): string {
  const { value, sense } = lengthOf(line, picture);
  const number = new Intl.NumberFormat(language(), { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value);
  return say(`length_${sense}`, { n: number });
}

const SVG = 'http://www.w3.org/2000/svg';

export class Measuring {
  /** Finished lines by image; the key names instance and frame. */
  readonly #lines = new Map<string, Line[]>();
  readonly #svg: SVGSVGElement;
  readonly #labels: HTMLElement;
  #image = '';
  #picture: Picture | undefined;
  #open: Line | undefined;
  #cursor: Point | undefined;

  constructor(
    private readonly port: Port,
    private readonly speak: (text: string) => void,
  ) {
    this.#svg = document.createElementNS(SVG, 'svg');
    this.#svg.setAttribute('aria-hidden', 'true');
    this.#svg.classList.add('port__marks');
    this.#labels = document.createElement('div');
    port.element.append(this.#svg, this.#labels);
    port.drawn = () => {
      this.#draw();
    };
  }

  onImage(image: string, picture: Picture | undefined): void {
    if (image !== this.#image) this.cancel();
    this.#image = image;
    this.#picture = picture;
    this.#draw();
  }

  get busy(): boolean {
    return this.#cursor !== undefined;
  }

  begin(at: Point): void {
    this.#cursor = undefined;
    this.#open = { a: at, b: at };
    this.#draw();
  }

  drag(to: Point): void {
    if (this.#open === undefined) return;
    this.#open = { a: this.#open.a, b: to };
    this.#draw();
  }

  end(): void {
    const line = this.#open;
    this.#open = undefined;
    if (line !== undefined && this.#picture !== undefined && (line.a[0] !== line.b[0] || line.a[1] !== line.b[1])) {
      this.#lines.set(this.#image, [...(this.#lines.get(this.#image) ?? []), line]);
      this.speak(lengthWords(line, this.#picture));
    }
    this.#draw();
  }

  /** Puts the point into the middle of what is seen; arrows move it, Enter sets it. */
  beginByKeys(): void {
    if (this.#picture === undefined) return;
    this.#cursor = this.port.middle();
    this.speak(say('measure_start'));
    this.#draw();
  }

  move(x: number, y: number): void {
    if (this.#cursor === undefined || this.#picture === undefined) return;
    const inside = (value: number, size: number) => Math.min(size - 0.5, Math.max(0.5, value));
    this.#cursor = [inside(this.#cursor[0] + x, this.#picture.columns), inside(this.#cursor[1] + y, this.#picture.rows)];
    if (this.#open !== undefined) this.#open = { a: this.#open.a, b: this.#cursor };
    this.#draw();
  }

  set(): void {
    if (this.#cursor === undefined) return;
    if (this.#open === undefined) {
      this.#open = { a: this.#cursor, b: this.#cursor };
      this.speak(say('measure_second'));
    } else {
      this.#cursor = undefined;
      this.end();
    }
  }

  cancel(): void {
    this.#cursor = undefined;
    this.#open = undefined;
    this.#draw();
  }

  deleteLast(): void {
    this.#lines.get(this.#image)?.pop();
    this.speak(say('measure_deleted'));
    this.#draw();
  }

  #draw(): void {
    this.#svg.replaceChildren();
    this.#labels.replaceChildren();
    const picture = this.#picture;
    if (picture === undefined) return;
    const lines = [...(this.#lines.get(this.#image) ?? []), ...(this.#open === undefined ? [] : [this.#open])];
    for (const line of lines) this.#drawLine(line, picture);
    if (this.#cursor !== undefined) {
      const [x, y] = this.port.toScreen(this.#cursor);
      this.#path(`M${x - 12} ${y}h9M${x + 3} ${y}h9M${x} ${y - 12}v9M${x} ${y + 3}v9`);
    }
  }

  #drawLine(line: Line, picture: Picture): void {
    const [ax, ay] = this.port.toScreen(line.a);
    const [bx, by] = this.port.toScreen(line.b);
    const size = Math.hypot(bx - ax, by - ay) || 1;
    const [tx, ty] = [(-6 * (by - ay)) / size, (6 * (bx - ax)) / size];
    const tick = (x: number, y: number) => `M${x - tx} ${y - ty}L${x + tx} ${y + ty}`;
    this.#path(`M${ax} ${ay}L${bx} ${by}${tick(ax, ay)}${tick(bx, by)}`);
    const label = document.createElement('p');
    label.className = 'annolabel';
    label.textContent = lengthWords(line, picture);
    const whose = document.createElement('small');
    whose.textContent = say('yours');
    label.append(whose);
    const lower = ay > by ? [ax, ay] : [bx, by];
    label.style.left = `${Math.round((lower[0] ?? 0) + 8)}px`;
    label.style.top = `${Math.round((lower[1] ?? 0) + 8)}px`;
    this.#labels.append(label);
  }

  #path(d: string): void {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    path.setAttribute('class', 'anno');
    this.#svg.append(path);
  }
}
