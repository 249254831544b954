/** The viewer page: joins the study, the stack, the port and the hands. Start reading at `start`. */

import './viewer.css';
import { actionOf, isCharacter } from './keys.ts';
import { PUT_AWAY } from '../pages/standing.ts';
import { follow, interceptImageLinks, markImageLinks, nextKey, rememberLine } from './link.ts';
import { Measuring } from './measure.ts';
import { type Instance, type KeyImage, openStudy, type Series, type Study } from './open.ts';
import { Overlay, positionWords, undrawnLinks } from './overlay.ts';
import { Port } from './port.ts';
import { preset } from './presets.ts';
import { notesAt, showStop } from './said.ts';
import { Stack } from './stack.ts';
import { type Tool, Tools } from './tools.ts';
import { language, learn, say } from './words.ts';

const root = document.querySelector<HTMLElement>('#viewer');
const page = document.documentElement;

async function start(main: HTMLElement): Promise<void> {
  const element = main.querySelector<HTMLElement>('.port') ?? main.appendChild(Object.assign(document.createElement('div'), { className: 'port' }));
  element.tabIndex = 0;
  const fallback = element.dataset.unreachable ?? '';
  let study: Study;
  try {
    study = await openStudy(main.dataset.study ?? '');
  } catch {
    element.append(Object.assign(document.createElement('p'), { className: 'port__note', textContent: fallback }));
    page.dataset.viewer = 'failed';
    return;
  }
  learn(study.words);
  new Desk(main, element, study).begin();
}

class Desk {
  readonly #port: Port;
  readonly #overlay: Overlay;
  readonly #measuring: Measuring;
  readonly #tools: Tools;
  readonly #stack: Stack;
  readonly #keys: readonly KeyImage[];
  #cine = 0;
  #first = true;
  #stopped = false;

  constructor(
    private readonly main: HTMLElement,
    element: HTMLElement,
    private readonly study: Study,
  ) {
    this.#keys = study.key_images;
    this.#port = new Port(element);
    this.#overlay = new Overlay(this.#port, study, (share) => this.#stack.go(Math.floor(share * this.#stack.slides.length)));
    this.#measuring = new Measuring(this.#port, (text) => this.#overlay.speak(text));
    this.#tools = new Tools(this.#port, this.#measuring, (by) => this.#step(by), () => this.#describe());
    this.#stack = new Stack((instance) => this.#addressOf(instance), {
      shown: (slide, picture, decoded) => {
        this.#note();
        this.#port.show(picture, decoded);
        this.#measuring.onImage(`${slide.uid} ${slide.frame}`, picture);
        this.#describe();
        requestAnimationFrame(() => Object.assign(page.dataset, { viewer: 'ready', drawn: `${slide.uid} ${slide.frame}` }));
        this.#afterFirst();
      },
      waiting: (_, seconds) => {
        this.#emptyPort();
        this.#overlay.note(seconds === undefined ? say('loading') : say('preparing', { n: Math.ceil(seconds / 60) }));
        this.#describe();
        page.dataset.viewer = seconds === undefined ? 'loading' : 'preparing';
      },
      trouble: (_, what) => {
        this.#emptyPort();
        const retry = what === 'failed' ? () => this.#stack.again() : undefined;
        const links = what === 'failed' ? [] : [{ text: say('download_object', { kind: say('kind_image'), n: '' }), href: this.#stack.current?.url ?? '' }];
        this.#overlay.note(say(what), links, retry);
        this.#describe();
        page.dataset.viewer = 'trouble';
      },
      progress: () => this.#progress(),
      stopped: () => this.#stop(),
      withdrawn: () => this.#putAway(),
    });
  }

  begin(): void {
    rememberLine();
    this.#listen();
    const { startSeries, startSop, startFrame } = this.main.dataset;
    const frame = Number(startFrame ?? '') || null;
    if (startSop !== undefined && startSop !== '' && this.#showImage(startSop, frame)) return;
    const key = startSeries ? undefined : this.#keys[0];
    if (key !== undefined && this.#showImage(key.instance, key.frame)) return;
    const series = this.study.series.find((s) => s.uid === startSeries) ?? this.study.series[0];
    if (series !== undefined) this.#openSeries(series);
  }

  #listen(): void {
    this.main.addEventListener('click', (event) => this.#onClick(event));
    document.addEventListener('keydown', (event) => this.#onKey(event));
    document.addEventListener(PUT_AWAY, () => this.#shut());
    interceptImageLinks((sop, frame) => this.#showImage(sop, frame));
    if (document.activeElement === document.body) this.#port.element.focus({ preventScroll: true });
  }

  #onClick(event: MouseEvent): void {
    const pressed = (event.target as Element).closest<HTMLElement>('[data-tool].tool, [data-action], .thumb[data-series]');
    if (pressed === null) return;
    const { tool, action, series } = pressed.dataset;
    if (tool !== undefined) {
      this.#tools.take(tool as Tool);
      if (tool === 'length' && event.detail === 0) this.#act('measure');
    } else if (action !== undefined) {
      this.#act(action);
    } else {
      const chosen = this.study.series.find((s) => s.uid === series);
      if (chosen === undefined) return;
      event.preventDefault();
      this.#openSeries(chosen);
    }
  }

  #onKey(event: KeyboardEvent): void {
    const at = event.target as HTMLElement;
    if (this.#stopped || event.defaultPrevented || at.closest('input, textarea, select, [contenteditable], dialog') !== null) return;
    if (isCharacter(event.key) && document.body.dataset.keys === 'off') return;
    if (at.closest('.desk__tools') !== null && /^Arrow(Left|Right)$/.test(event.key)) {
      this.#moveInToolbar(at, event.key === 'ArrowRight' ? 1 : -1);
    } else if (this.#measuring.busy && this.#measureByKey(event)) {
      this.#describe();
    } else if (event.key === 'Enter' || (event.key === ' ' && at.closest('button, summary') !== null)) {
      return;
    } else if (at.closest('.chart, .strip') !== null && /^(Arrow|Page|Home|End)/.test(event.key)) {
      return;
    } else {
      const action = actionOf(event);
      if (action === undefined) return;
      this.#act(action);
      if (/^(previous|next|back-ten|on-ten|first|last)$/.test(action)) this.#overlay.speak(positionWords(this.#stack));
      if (/^(key|.*-series)$/.test(action)) this.#overlay.speak(this.#port.element.getAttribute('aria-label') ?? '');
    }
    event.preventDefault();
  }

  #measureByKey(event: KeyboardEvent): boolean {
    const step = event.shiftKey ? 10 : 1;
    const moves: Record<string, readonly [number, number]> = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const move = moves[event.key];
    if (move !== undefined) this.#measuring.move(...move);
    else if (event.key === 'Enter') this.#measuring.set();
    else if (event.key === 'Escape') this.#measuring.cancel();
    else return false;
    return true;
  }

  #moveInToolbar(from: HTMLElement, by: 1 | -1): void {
    const tools = [...this.main.querySelectorAll<HTMLElement>('.desk__tools .tool')].filter((tool) => tool.offsetParent !== null);
    const here = tools.indexOf(from.closest<HTMLElement>('.tool') ?? from);
    tools[(here + by + tools.length) % tools.length]?.focus();
  }

  readonly #actions: Readonly<Record<string, () => void>> = {
    previous: () => this.#step(-1),
    next: () => this.#step(1),
    'back-ten': () => this.#step(-10),
    'on-ten': () => this.#step(10),
    first: () => this.#stack.go(0),
    last: () => this.#stack.go(this.#stack.slides.length - 1),
    'previous-series': () => this.#stepSeries(-1),
    'next-series': () => this.#stepSeries(1),
    invert: () => this.#invert(),
    reset: () => this.#reset(),
    play: () => this.#play(this.#cine === 0),
    key: () => this.#nextKey(),
    larger: () => this.#port.magnify(1.25),
    smaller: () => this.#port.magnify(0.8),
    measure: () => {
      this.#tools.take('length');
      this.#measuring.beginByKeys();
      this.#port.element.focus({ preventScroll: true });
    },
    delete: () => this.#measuring.deleteLast(),
    cancel: () => this.#cancel(),
    report: () => follow('report', 'up'),
    up: () => follow('up', 'report'),
  };

  #act(action: string): void {
    if (action.startsWith('tool-')) this.#tools.take(action.slice(5) as Tool);
    else if (action.startsWith('preset-')) this.#preset(Number(action.slice(7)));
    else this.#actions[action]?.();
    this.#describe();
  }

  #openSeries(series: Series, sop?: string, frame?: number | null): void {
    this.#play(false);
    this.#measuring.cancel();
    this.#port.look = { window: undefined, invert: false };
    this.#emptyPort();
    this.#port.fit();
    this.#overlay.identify(series);
    for (const thumb of this.main.querySelectorAll<HTMLElement>('.thumb[data-series]')) {
      if (thumb.dataset.series === series.uid) thumb.setAttribute('aria-current', 'true');
      else thumb.removeAttribute('aria-current');
    }
    this.#stack.open(series, sop, frame);
    if (this.#stack.slides.length > 0) return;
    this.#note();
    this.#describe();
    page.dataset.viewer = 'ready';
  }

  #showImage(sop: string, frame: number | null): boolean {
    const series = this.study.series.find((s) => s.instances.some((i) => i.uid === sop));
    if (series === undefined) return false;
    if (this.#stack.series !== series) this.#openSeries(series, sop, frame);
    else this.#stack.go(this.#stack.find(sop, frame));
    return true;
  }

  #step(by: number): void {
    if (this.#measuring.busy) this.#measuring.cancel();
    this.#stack.go(this.#stack.at + by);
  }

  #stepSeries(by: number): void {
    const now = this.study.series.findIndex((s) => s === this.#stack.series);
    const next = this.study.series[now + by];
    if (next !== undefined) this.#openSeries(next);
  }

  #nextKey(): void {
    const now = this.#stack.current;
    const key = nextKey(this.#keys, now?.uid, now?.frame);
    if (key !== undefined) this.#showImage(key.instance, key.frame);
  }

  #preset(index: number): void {
    const picture = this.#stack.current?.picture;
    const window = picture === undefined ? null : preset(index, picture.modality, picture.windows);
    if (window === null) return;
    this.#port.look = { ...this.#port.look, window };
    this.#port.paint();
  }

  #invert(): void {
    this.#port.look = { ...this.#port.look, invert: !this.#port.look.invert };
    this.#port.paint();
  }

  #reset(): void {
    this.#port.look = { window: undefined, invert: false };
    this.#port.fit();
    this.#port.paint();
  }

  #play(on: boolean): void {
    window.clearInterval(this.#cine);
    this.#cine = 0;
    if (on && this.#stack.slides.length > 1) {
      const every = Math.max(20, this.#stack.current?.picture?.frameTime ?? 100);
      this.#cine = window.setInterval(() => {
        const { at, slides } = this.#stack;
        this.#stack.go((at + 1) % slides.length);
      }, every);
    }
    this.#press('play', this.#cine !== 0);
  }

  #cancel(): void {
    this.#play(false);
    this.#stack.cancel();
    const { here, all } = this.#stack.loaded;
    if (here < all) this.#overlay.speak(say('cancelled', { here, all }));
  }

  /** Once the first image is there, the others may be fetched: small ones for the strip; and what is to be said of them. */
  #afterFirst(): void {
    if (!this.#first) return;
    this.#first = false;
    for (const img of this.main.querySelectorAll<HTMLImageElement>('.thumb img[data-src]')) {
      img.addEventListener('load', () => (img.hidden = false));
      img.src = img.dataset.src ?? '';
    }
    void this.#notes();
  }

  async #notes(): Promise<void> {
    const said = await notesAt(this.main.dataset.notes);
    if (said.stopped) this.#stop();
    for (const note of this.main.querySelectorAll<HTMLElement>('[data-explained]')) note.hidden &&= !said.explained;
  }

  /** The country gives it no more, or not all of it: the screen is cleared, and the page made anew says so. */
  #putAway(): void {
    if (this.#stopped) return;
    this.#shut();
    location.reload();
  }

  #shut(): void {
    this.#play(false);
    this.#stopped = true;
    this.#stack.shut();
    this.#emptyPort();
    page.dataset.viewer = 'withdrawn';
  }

  /** What came may be of another person: nothing of the study stays on the screen. */
  #stop(): void {
    if (this.#stopped) return;
    this.#play(false);
    this.#stopped = true;
    this.#stack.shut();
    this.#emptyPort();
    showStop(this.main);
    page.dataset.viewer = 'stopped';
  }

  #press(action: string, on: boolean): void {
    for (const button of this.main.querySelectorAll(`[data-action="${action}"]`)) button.setAttribute('aria-pressed', String(on));
  }

  #addressOf(instance: Instance): string {
    return instance.url ?? `${this.main.dataset.instances ?? ''}${instance.uid}`;
  }

  /** Never another image under the words of this one. */
  #emptyPort(): void {
    this.#port.clear();
    this.#measuring.onImage('', undefined);
  }

  /** Nothing to say, or the objects of this series that are no pictures. */
  #note(): void {
    const { series, slides } = this.#stack;
    const links = series === undefined ? [] : undrawnLinks(series, (i) => this.#addressOf(i));
    const empty = slides.length === 0;
    this.#overlay.note(links.length === 0 ? (empty ? say('no_pixels') : '') : say(empty ? 'not_drawn' : 'not_drawn_some', { n: links.filter((l) => l.page !== true).length }), links);
    this.#port.element.querySelector('.port__note')?.classList.toggle('port__note--beside', !empty);
  }

  #describe(): void {
    if (this.#stopped) return;
    const slide = this.#stack.current;
    this.#press('invert', this.#port.look.invert);
    this.#overlay.drawRuler(this.#stack, this.#keys);
    if (slide === undefined) return;
    const { at, slides, series } = this.#stack;
    const label = say('image_label', { series: series?.number ?? '', n: at + 1, total: slides.length, description: series?.description ?? '' });
    this.#port.element.setAttribute('aria-label', label);
    this.#port.canvas.setAttribute('aria-label', label);
    markImageLinks(slide.uid, slide.frame);
    Object.assign(page.dataset, { position: String(at + 1), count: String(slides.length), series: series?.uid ?? '', sop: slide.uid, frame: String(slide.frame) });
    this.#overlay.describe(slide, slide.picture, this.#stack, this.#keys);
    const lossy = document.querySelector<HTMLElement>('[data-lossy]');
    if (lossy !== null) lossy.textContent = slide.picture === undefined ? '' : say(slide.picture.lossy ? 'lossy' : 'lossless');
  }

  #progress(): void {
    const { here, all, bytes } = this.#stack.loaded;
    if (all > 0 && here === all) void this.#notes();
    const words = all === 0 ? '' : say('loaded', { here, all, mb: new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(bytes / 1e6) });
    const foot = document.querySelector('[data-load]');
    const text = foot?.querySelector('span');
    if (text != null) text.textContent = words;
    const thumb = this.main.querySelector(`.thumb[data-series="${CSS.escape(this.#stack.series?.uid ?? '')}"]`);
    if (thumb !== null && thumb.querySelector('progress') === null && here < all) thumb.querySelector('img')?.after(document.createElement('progress'));
    for (const bar of [foot?.querySelector('progress'), thumb?.querySelector('progress')]) {
      if (bar == null) continue;
      Object.assign(bar, { max: Math.max(1, all), value: here });
      bar.setAttribute('aria-label', words);
      bar.hidden = here >= all;
    }
    for (const button of this.main.querySelectorAll<HTMLElement>('[data-action="cancel"]')) button.hidden = here >= all;
    page.dataset.loaded = String(here);
    this.#overlay.drawRuler(this.#stack, this.#keys);
  }
}

if (root !== null) void start(root);
