/** The words around the image: whose it is, which one, how it is shown; and the ruler at its edge. */

import { calendarDate } from './dates.ts';
import type { Picture } from './header.ts';
import type { KeyImage, Series, Study } from './open.ts';
import { undrawnKind } from './open.ts';
import { cross, dot } from './order.ts';
import { edges } from './orientation.ts';
import type { Port } from './port.ts';
import type { Slide, Stack } from './stack.ts';
import { language, say } from './words.ts';

const SVG = 'http://www.w3.org/2000/svg';
const CORNERS = ['ts', 'te', 'bs', 'be'] as const;
const SIDES = ['l', 'r', 't', 'b'] as const;

/** What is offered beside an image: a file to keep, or a page to open. */
export interface Link {
  text: string;
  href: string;
  page?: boolean;
}

export class Overlay {
  readonly #corner: Record<string, HTMLElement> = {};
  readonly #note = document.createElement('div');
  readonly #ruler = document.createElementNS(SVG, 'svg');
  readonly #spoken = document.createElement('p');

  constructor(
    private readonly port: Port,
    private readonly study: Study,
    jump: (share: number) => void,
  ) {
    for (const name of [...CORNERS, ...SIDES]) {
      const text = document.createElement('p');
      text.className = `over over--${name}${name.length === 1 ? ' over--side' : ''}`;
      this.#corner[name] = text;
      port.element.append(text);
    }
    this.#ruler.setAttribute('class', 'ruler');
    this.#ruler.setAttribute('viewBox', '0 0 14 100');
    this.#ruler.setAttribute('preserveAspectRatio', 'none');
    this.#ruler.setAttribute('aria-hidden', 'true');
    const seek = (event: PointerEvent) => {
      if (event.buttons !== 1) return;
      event.stopPropagation();
      const { top, height } = this.#ruler.getBoundingClientRect();
      jump((event.clientY - top) / height);
    };
    this.#ruler.addEventListener('pointerdown', (event) => {
      this.#ruler.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.#ruler.addEventListener('pointermove', seek);
    this.#note.className = 'port__note';
    this.#note.hidden = true;
    this.#spoken.className = 'vh';
    this.#spoken.setAttribute('aria-live', 'polite');
    port.element.append(this.#ruler, this.#note, this.#spoken);
  }

  speak(text: string): void {
    this.#spoken.textContent = text;
  }

  /** What stands in every frame, also while its image is on the way. */
  identify(series: Series): void {
    const { patient, study } = this.study;
    this.#write('ts', patient.name, [[calendarDate(patient.birth_date, language()), patient.sex].filter(Boolean).join(' · ')]);
    this.#write('te', calendarDate(study.date, language()), [
      [study.country, study.custodian].filter(Boolean).join(', '),
      series.description || study.description,
    ]);
    this.#write('bs', '', []);
    this.#write('be', '', []);
    for (const side of SIDES) this.#write(side, '', []);
  }

  describe(slide: Slide, picture: Picture | undefined, stack: Stack, keys: readonly KeyImage[]): void {
    if (picture === undefined) {
      for (const corner of ['be', ...SIDES]) this.#write(corner, '', []);
      this.#write('bs', '', [positionWords(stack)]);
      return;
    }
    const facts = [positionWords(stack), ...planeWords(picture)];
    const key = keys.find((k) => k.instance === slide.uid && (k.frame === null || k.frame === slide.frame));
    this.#write('bs', '', [...(key === undefined ? [] : [say('key_image', { why: key.why })]), facts.join(' · ')]);
    this.#write('be', '', [`${this.windowWords(picture)}${Math.round(this.port.scale * (window.devicePixelRatio || 1) * 100)} %`]);
    const letters = edges(picture.row, picture.column, picture.sides);
    this.#write('l', letters?.left ?? '', []);
    this.#write('r', letters?.right ?? '', []);
    this.#write('t', letters?.top ?? '', []);
    this.#write('b', letters?.bottom ?? '', []);
  }

  windowWords(picture: Picture): string {
    const shown = this.port.window;
    if (shown !== undefined) return `${say('window_values', { width: round(shown.width), level: round(shown.centre) })} · `;
    return picture.voiTable !== undefined && this.port.look.window === undefined ? `${say('window_table')} · ` : '';
  }

  drawRuler(stack: Stack, keys: readonly KeyImage[]): void {
    const total = stack.slides.length;
    this.#ruler.replaceChildren();
    this.#ruler.toggleAttribute('hidden', total < 2);
    if (total < 2) return;
    const bar = (x: number, y: number, width: number, height: number, kind: string) => {
      const rect = document.createElementNS(SVG, 'rect');
      for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, String(value));
      rect.setAttribute('class', `ruler__${kind}`);
      this.#ruler.append(rect);
    };
    bar(0, 0, 14, 100, 'ground');
    bar(6, 0, 2, 100, 'track');
    bar(5, 0, 4, (100 * stack.loaded.here) / total, 'loaded');
    stack.slides.forEach((slide, i) => {
      if (keys.some((k) => k.instance === slide.uid && (k.frame === null || k.frame === slide.frame))) bar(2, (100 * (i + 0.5)) / total - 0.5, 10, 1, 'key');
    });
    bar(1, Math.min(97, Math.max(0, (100 * (stack.at + 0.5)) / total - 1.5)), 12, 3, 'here');
  }

  /** A sentence in place of, or beside, the image; with links when objects are offered for download. */
  note(sentence: string, links: readonly Link[] = [], retry?: () => void): void {
    this.#note.replaceChildren();
    this.#note.classList.remove('port__note--beside');
    this.#note.hidden = sentence === '';
    if (sentence === '') return;
    const text = document.createElement('p');
    text.setAttribute('role', 'status');
    text.textContent = sentence;
    this.#note.append(text);
    if (links.length > 0) {
      const list = document.createElement('ul');
      for (const { text: label, href, page } of links) {
        const entry = document.createElement('li');
        const link = document.createElement('a');
        Object.assign(link, { href, textContent: label }, page === true ? {} : { download: '' });
        entry.append(link);
        list.append(entry);
      }
      this.#note.append(list);
    }
    if (retry !== undefined) {
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', className: 'button button--s', textContent: say('try_again') });
      button.addEventListener('click', retry);
      this.#note.append(button);
    }
  }

  #write(corner: string, strong: string, lines: readonly string[]): void {
    const text = this.#corner[corner];
    if (text === undefined) return;
    text.replaceChildren();
    if (strong !== '') text.append(Object.assign(document.createElement('b'), { textContent: strong }));
    for (const line of lines.filter((l) => l !== '')) {
      if (text.hasChildNodes()) text.append(document.createElement('br'));
      text.append(line);
    }
    text.hidden = !text.hasChildNodes();
  }
}

export function positionWords(stack: Stack): string {
  return say('position', { n: stack.at + 1, total: stack.slides.length });
}

/** The objects of a series that are no pictures, as sentence and links: to the file, and to a page where it can be read as text. */
export function undrawnLinks(series: Series, addressOf: (i: Series['instances'][number]) => string): Link[] {
  return series.instances.flatMap((instance) => {
    const kind = undrawnKind(instance.sop_class);
    if (kind === undefined) return [];
    const names = { kind: say(kind), n: instance.number ?? '' };
    const read = instance.text === undefined ? [] : [{ text: say('read_object', names), href: instance.text, page: true }];
    return [...read, { text: say('download_object', names), href: addressOf(instance) }];
  });
}

function planeWords(picture: Picture): string[] {
  const { position, row, column, thickness } = picture;
  const mm = (value: number) => `${new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(value)} mm`;
  const height = position !== undefined && row !== undefined && column !== undefined ? [mm(dot(position, cross(row, column)))] : [];
  return [...height, ...(thickness === undefined ? [] : [mm(thickness)])];
}

function round(value: number): string {
  return String(Math.abs(value) < 20 ? Math.round(value * 10) / 10 : Math.round(value));
}
