/** What the pages do that htmx cannot do alone: keys, the focus after a change of country, the place one came from. */

import htmx from 'htmx.org';
import { keyName, rowStep } from './keys.ts';
import { watchStanding } from './standing.ts';

const MARKED_MS = 2000;

/** Same origin, nothing evaluated, nothing kept by the browser, no style of its own. Source: trust.md §2.14. */
function tame(): void {
  Object.assign(htmx.config, { mode: 'same-origin', history: 'reload', includeIndicatorCSS: false });
  const brought = (htmx as unknown as { indicatorStyleSheet?: CSSStyleSheet }).indicatorStyleSheet;
  document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== brought);
  const refuse = function (): never {
    throw new Error('attributes hold no scripts here');
  };
  htmx.registerExtension('no-scripts', {
    init: (inside: { initSecurity(policy: undefined, run: () => never, runLater: () => never): void }) => inside.initSecurity(undefined, refuse, refuse),
  });
}

/** A page out of the back-forward cache may belong to a visit that has ended. */
function neverShowOldPages(): void {
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
}

/** A newly chosen country brings its own fields: the first is next, unless one is still moving with arrows. */
function focusNewFields(): void {
  let byArrow = false;
  document.addEventListener('keydown', (event) => (byArrow = event.key.startsWith('Arrow')));
  document.addEventListener('pointerdown', () => (byArrow = false));
  document.addEventListener('htmx:after:swap', (event) => {
    const from = event.target;
    if (!byArrow && from instanceof Element && from.closest('.countries, .country') !== null) {
      document.querySelector<HTMLElement>('#mask :is(input:not([type="hidden"]), select)')?.focus();
    }
  });
}

/** A letter goes to the next country of that letter. */
function jumpToCountry(event: KeyboardEvent, at: HTMLElement): boolean {
  if (!(at instanceof HTMLInputElement) || at.type !== 'radio' || event.key.length !== 1 || event.ctrlKey || event.metaKey) return false;
  const all = [...document.querySelectorAll<HTMLInputElement>(`input[type="radio"][name="${CSS.escape(at.name)}"]`)];
  const later = [...all.slice(all.indexOf(at) + 1), ...all];
  const name = (radio: HTMLInputElement) => radio.closest('label')?.querySelector('b')?.textContent.trim().toLowerCase() ?? '';
  const found = later.find((radio) => radio !== at && name(radio).startsWith(event.key.toLowerCase()));
  found?.click();
  found?.focus();
  return found !== undefined;
}

/** Moves the focus to the row above or below; a row is entered at its report, or its images when it has none. */
function moveRow(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>('.exam')];
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[here < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, here + by))];
  (next?.querySelector<HTMLElement>('a[data-row]') ?? next?.querySelector<HTMLElement>('a:last-of-type, a'))?.focus();
  return next !== undefined;
}

function nextImageLink(): boolean {
  const links = [...document.querySelectorAll<HTMLElement>('a.imglink')];
  const here = links.indexOf(document.activeElement as HTMLElement);
  links[(here + 1) % (links.length || 1)]?.focus();
  return links.length > 0;
}

function unfoldAll(): boolean {
  const folds = [...document.querySelectorAll('details')];
  const open = folds.some((fold) => !fold.open);
  for (const fold of folds) fold.open = open;
  return folds.length > 0;
}

/** Presses, follows or focuses what the page lists under this key: first in the row that has the focus. */
function useKey(name: string): boolean {
  const selector = `[data-key="${CSS.escape(name)}"]`;
  const row = document.activeElement?.closest('.exam');
  const found = row?.querySelector<HTMLElement>(selector) ?? document.querySelector<HTMLElement>(selector);
  if (found == null) return false;
  if (found instanceof HTMLDialogElement) found.showModal();
  else if (found.matches('input:not([type="checkbox"], [type="radio"]), textarea, select')) found.focus();
  else found.click();
  return true;
}

function listenToKeys(): void {
  let before = '';
  const own: Readonly<Record<string, () => boolean>> = { '.': nextImageLink, e: unfoldAll };
  document.addEventListener('keydown', (event) => {
    const at = event.target as HTMLElement;
    if (event.defaultPrevented || document.body.dataset.keys === 'off' || at.closest('dialog[open]') !== null) return;
    if (jumpToCountry(event, at)) return event.preventDefault();
    if (at.closest('textarea, select, [contenteditable], input:not([type="radio"], [type="checkbox"], [type="submit"])') !== null) return;
    const name = keyName(event, before);
    before = name === 'g' ? 'g' : '';
    const inViewer = document.querySelector('#viewer') !== null;
    const step = inViewer || event.ctrlKey || event.metaKey || event.altKey ? 0 : rowStep(event.key, at.closest('.exam') !== null);
    const done = (step !== 0 && moveRow(step)) || (name !== undefined && (useKey(name) || (!inViewer && own[name]?.() === true)));
    if (done) event.preventDefault();
    return undefined;
  });
}

/** A link to an image takes its own id along, so that the way back ends at the same line. */
function rememberLine(): void {
  document.addEventListener('click', (event) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>('a.imglink[id]');
    if (link !== null && document.querySelector('#viewer') === null) link.hash = `from=${link.id}`;
  });
}

function markLine(): void {
  const line = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (line === null || !line.matches('.imglink')) return;
  const fold = line.closest('details');
  if (fold !== null) fold.open = true;
  const place = line.matches('.key') ? line : (line.closest<HTMLElement>('li, tr, p') ?? line);
  place.scrollIntoView({ block: 'center' });
  line.focus({ preventScroll: true });
  place.style.background = 'var(--mark)';
  window.setTimeout(() => place.style.removeProperty('background'), MARKED_MS);
}

/** Small pictures are accesses like any other: what came with them is said, and a doubt stops the page. */
function watchThumbnails(): void {
  const place = document.querySelector<HTMLElement>('main[data-notes]:not(#viewer)');
  let due = 0;
  const ask = async () => {
    const answer = await fetch(place?.dataset.notes ?? '', { redirect: 'manual' }).catch(() => undefined);
    if (answer?.ok !== true) return;
    const said = (await answer.json()) as { explained: boolean; stopped: boolean };
    if (said.stopped) location.reload();
    for (const note of document.querySelectorAll<HTMLElement>('[data-explained]')) note.hidden &&= !said.explained;
  };
  const soon = (event: Event) => {
    if (!(event.target instanceof HTMLImageElement) || event.target.dataset.thumbnail === undefined) return;
    window.clearTimeout(due);
    due = window.setTimeout(() => void ask(), 200);
  };
  if (place === null) return;
  document.addEventListener('load', soon, true);
  document.addEventListener('error', soon, true);
  due = window.setTimeout(() => void ask(), 1000);
}

/** Letters that were typed while the list was on its way are put back behind what it brought. */
function keepTyping(): void {
  let sent = '';
  let typed = '';
  const box = () => document.querySelector<HTMLInputElement>('#q');
  document.addEventListener('htmx:before:request', () => (sent = box()?.value ?? ''));
  document.addEventListener('htmx:before:swap', () => (typed = box()?.value ?? ''));
  document.addEventListener('htmx:after:swap', () => {
    const now = box();
    if (now === null || now !== document.activeElement) return;
    if (typed !== sent && typed.startsWith(sent)) {
      now.value += typed.slice(sent.length);
      now.dispatchEvent(new Event('input', { bubbles: true }));
    }
    now.setSelectionRange(now.value.length, now.value.length);
  });
}

tame();
neverShowOldPages();
focusNewFields();
listenToKeys();
watchThumbnails();
watchStanding();
keepTyping();
rememberLine();
markLine();
window.addEventListener('hashchange', markLine);
