/** What the pointer does on the image, and which tool is in the hand. */

import type { Measuring, Point } from './measure.ts';
import type { Port } from './port.ts';

export type Tool = 'scroll' | 'window' | 'zoom' | 'pan' | 'length';

const WHEEL_STEP = 40;
const DRAG_STEP = 8;

export class Tools {
  #tool: Tool = 'scroll';
  #wheel = 0;
  #rest = 0;

  constructor(
    private readonly port: Port,
    private readonly measuring: Measuring,
    private readonly step: (by: number) => void,
    private readonly changed: () => void,
  ) {
    const { element } = port;
    element.addEventListener('wheel', (event) => this.#onWheel(event), { passive: false });
    element.addEventListener('pointerdown', (event) => this.#onDown(event));
    element.addEventListener('contextmenu', (event) => event.preventDefault());
    const pressed = document.querySelector<HTMLElement>('.tool[data-tool][aria-pressed="true"]')?.dataset.tool;
    this.take((pressed as Tool | undefined) ?? 'scroll');
  }

  take(tool: Tool): void {
    this.#tool = tool;
    this.measuring.cancel();
    for (const button of document.querySelectorAll<HTMLElement>('.tool[data-tool]')) {
      button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
    }
    this.port.element.dataset.tool = tool;
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    if (event.ctrlKey) {
      this.port.magnify(event.deltaY < 0 ? 1.1 : 1 / 1.1, this.#point(event));
      this.changed();
      return;
    }
    this.#wheel += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : Math.sign(event.deltaY) * WHEEL_STEP;
    const steps = Math.trunc(this.#wheel / WHEEL_STEP);
    this.#wheel -= steps * WHEEL_STEP;
    // A notch of a mouse is 100 to 120 pixels and means one image; a track pad sends many small ones.
    if (steps !== 0) {
      this.#wheel = Math.abs(event.deltaY) >= 100 ? 0 : this.#wheel;
      this.step(Math.abs(event.deltaY) >= 100 ? Math.sign(steps) : steps);
    }
  }

  #onDown(event: PointerEvent): void {
    if ((event.target as Element).closest('.ruler, .port__note') !== null) return;
    const tool = event.button === 1 ? 'pan' : event.button === 2 ? 'zoom' : this.#tool;
    const { element } = this.port;
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
    const start = this.#point(event);
    let last = start;
    this.#rest = 0;
    if (tool === 'length') this.measuring.begin(this.port.toImage(start));
    const move = (next: PointerEvent) => {
      const now = this.#point(next);
      this.#drag(tool, now, [now[0] - last[0], now[1] - last[1]], start);
      last = now;
    };
    const up = () => {
      element.removeEventListener('pointermove', move);
      if (tool === 'length') this.measuring.end();
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('lostpointercapture', up, { once: true });
  }

  #drag(tool: Tool, now: Point, [x, y]: Point, start: Point): void {
    if (tool === 'pan') this.port.pan(x, y);
    else if (tool === 'zoom') this.port.magnify(Math.exp(-y / 150), start);
    else if (tool === 'window') this.port.adjustWindow(x / 200, y / 200);
    else if (tool === 'length') this.measuring.drag(this.port.toImage(now));
    else {
      this.#rest += y;
      const steps = Math.trunc(this.#rest / DRAG_STEP);
      this.#rest -= steps * DRAG_STEP;
      if (steps !== 0) this.step(steps);
    }
    this.changed();
  }

  #point(event: MouseEvent): Point {
    const { left, top } = this.port.element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}
