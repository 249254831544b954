/**
 * The original report as it was signed: pages on canvases of our own page, with a real text layer.
 *
 * No frame, no scripts, no forms, no links of the document; character maps and standard fonts are our own.
 * Pages are drawn when they come near. Source: field fault F57.
 */

import './reader.css';
import { getDocument, GlobalWorkerOptions, type PDFDocumentProxy, type PDFPageProxy, TextLayer } from 'pdfjs-dist';
import PdfWorker from 'pdfjs-dist/build/pdf.worker.mjs?worker';

const base = import.meta.url.replace(/[^/]*$/, '');
const SHARPEST = 2 ** 25; // pixels of one canvas

class Reader {
  #zoom = 1;
  #pages: { proxy: PDFPageProxy; box: HTMLElement; drawn: number }[] = [];
  #near = new Set<number>();
  readonly #list = document.createElement('div');
  readonly #watch: IntersectionObserver;
  readonly #words: Record<string, string>;

  constructor(private readonly section: HTMLElement) {
    this.#words = JSON.parse(section.dataset.words ?? '{}') as Record<string, string>;
    this.#list.className = 'pdf';
    this.#list.tabIndex = 0;
    this.#list.setAttribute('role', 'group');
    this.#list.setAttribute('aria-label', section.getAttribute('aria-label') ?? this.#say('original', {}));
    this.#watch = new IntersectionObserver((entries) => this.#seen(entries), { root: this.#list, rootMargin: '100% 0px' });
  }

  async open(url: string): Promise<void> {
    this.section.replaceChildren(this.#list);
    try {
      const answer = await fetch(url, { headers: { Accept: 'application/pdf' } });
      if (!answer.ok) throw new Error(String(answer.status));
      const safe = { isEvalSupported: false, enableXfa: false, useSystemFonts: false, cMapPacked: true, stopAtErrors: false };
      const pdf = await getDocument({
        ...safe,
        data: new Uint8Array(await answer.arrayBuffer()),
        cMapUrl: `${base}pdfjs/cmaps/`,
        standardFontDataUrl: `${base}pdfjs/standard_fonts/`,
        wasmUrl: `${base}pdfjs/wasm/`,
        iccUrl: `${base}pdfjs/iccs/`,
      }).promise;
      await this.#layOut(pdf);
    } catch {
      this.section.replaceChildren(Object.assign(document.createElement('p'), { className: 'pdf__trouble', textContent: this.#say('failed', {}) }));
      this.section.dataset.reader = 'failed';
    }
  }

  async #layOut(pdf: PDFDocumentProxy): Promise<void> {
    for (let number = 1; number <= pdf.numPages; number += 1) {
      const proxy = await pdf.getPage(number);
      const box = document.createElement('div');
      box.className = 'pdf__page';
      box.dataset.page = String(number - 1);
      box.setAttribute('role', 'region');
      box.setAttribute('aria-label', this.#say('page', { n: number, total: pdf.numPages }));
      this.#list.append(box);
      this.#pages.push({ proxy, box, drawn: 0 });
      this.#size(number - 1);
      this.#watch.observe(box);
    }
    new ResizeObserver(() => this.#resize()).observe(this.#list);
    this.#list.addEventListener('scroll', () => this.#count(), { passive: true });
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
    const around = this.section.closest('.reader') ?? this.section.parentElement ?? this.section;
    around.addEventListener('click', (event) => {
      const button = (event.target as Element).closest<HTMLElement>('[data-zoom]');
      if (button === null) return;
      event.preventDefault();
      this.#magnify({ in: 1.25, out: 0.8 }[button.dataset.zoom ?? ''] ?? 0);
    });
    this.#count();
  }

  /** Changes the size by a factor; nought fits the width again. */
  #magnify(factor: number): void {
    this.#zoom = factor === 0 ? 1 : Math.min(5, Math.max(0.5, this.#zoom * factor));
    this.#resize();
  }

  #onKey(event: KeyboardEvent): void {
    const factor = { '+': 1.25, '=': 1.25, '-': 0.8, '0': 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#magnify(factor);
  }

  #scale(index: number): number {
    const page = this.#pages[index];
    if (page === undefined) return 1;
    const width = page.proxy.getViewport({ scale: 1 }).width;
    return (this.#zoom * Math.max(100, this.#list.clientWidth - 2)) / width;
  }

  #size(index: number): void {
    const page = this.#pages[index];
    if (page === undefined) return;
    const scale = this.#scale(index);
    const { width, height } = page.proxy.getViewport({ scale });
    page.box.style.width = `${Math.floor(width)}px`;
    page.box.style.height = `${Math.floor(height)}px`;
    page.box.style.setProperty('--total-scale-factor', String(scale));
  }

  #resize(): void {
    const place = this.#list.scrollTop / (this.#list.scrollHeight || 1);
    this.#pages.forEach((_, i) => this.#size(i));
    this.#list.scrollTop = place * this.#list.scrollHeight;
    for (const index of this.#near) void this.#draw(index);
  }

  #seen(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const index = Number((target as HTMLElement).dataset.page);
      if (isIntersecting) {
        this.#near.add(index);
        void this.#draw(index);
      } else {
        this.#near.delete(index);
        const page = this.#pages[index];
        page?.box.replaceChildren();
        if (page !== undefined) page.drawn = 0;
      }
    }
  }

  async #draw(index: number): Promise<void> {
    const page = this.#pages[index];
    const scale = this.#scale(index);
    if (page === undefined || page.drawn === scale) return;
    page.drawn = scale;
    const viewport = page.proxy.getViewport({ scale });
    const sharp = Math.min(window.devicePixelRatio || 1, Math.sqrt(SHARPEST / (viewport.width * viewport.height)));
    const canvas = document.createElement('canvas');
    canvas.width = Math.floor(viewport.width * sharp);
    canvas.height = Math.floor(viewport.height * sharp);
    canvas.setAttribute('aria-hidden', 'true');
    const text = document.createElement('div');
    text.className = 'textLayer';
    await page.proxy.render({ canvas, viewport, transform: [sharp, 0, 0, sharp, 0, 0] }).promise;
    await new TextLayer({ textContentSource: page.proxy.streamTextContent(), container: text, viewport }).render();
    if (page.drawn !== scale) return;
    page.box.replaceChildren(canvas, text);
    this.section.dataset.reader = 'ready';
  }

  #count(): void {
    const middle = this.#list.scrollTop + this.#list.clientHeight / 3;
    const index = this.#pages.findLastIndex(({ box }) => box.offsetTop <= middle);
    const counter = (this.section.closest('.reader') ?? document).querySelector('[data-page-count]');
    if (counter !== null) counter.textContent = this.#say('page', { n: Math.max(0, index) + 1, total: this.#pages.length });
  }

  #say(name: string, places: Record<string, string | number>): string {
    return (this.#words[name] ?? name).replace(/\{(\w+)\}/g, (whole, place: string) => String(places[place] ?? whole));
  }
}

const sections = document.querySelectorAll<HTMLElement>('[data-pdf]');
if (sections.length > 0) GlobalWorkerOptions.workerPort = new PdfWorker();
for (const section of sections) void new Reader(section).open(section.dataset.pdf ?? '');
