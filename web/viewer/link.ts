/** Between image and report: links that show an image here, and the way back to the line one came from. */

import type { KeyImage } from './open.ts';

/** Follows the page's own link of that kind, if it has one. */
export function follow(...kinds: string[]): void {
  for (const kind of kinds) {
    const link = document.querySelector<HTMLAnchorElement>(`a[rel~="${kind}"]`);
    if (link !== null) {
      link.click();
      return;
    }
  }
}

/** The report's line arrives as #from=…; the links back end there. */
export function rememberLine(): void {
  const from = /[#&]from=([\w-]+)/.exec(location.hash)?.[1];
  if (from === undefined) return;
  for (const link of document.querySelectorAll<HTMLAnchorElement>('a[rel~="report"], a[rel~="up"]')) link.hash = from;
}

/** Links of the report beside the image change the image, not the page. */
export function interceptImageLinks(show: (sop: string, frame: number | null) => boolean): void {
  document.addEventListener('click', (event) => {
    const link = (event.target as Element).closest<HTMLElement>('a[data-sop]');
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const frame = Number(link.dataset.frame ?? '');
    if (show(link.dataset.sop ?? '', frame > 0 ? frame : null)) event.preventDefault();
  });
}

export function markImageLinks(sop: string, frame: number): void {
  for (const link of document.querySelectorAll<HTMLElement>('a[data-sop]')) {
    const shown = link.dataset.sop === sop && (link.dataset.frame === undefined || Number(link.dataset.frame) === frame);
    if (shown) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
}

/** The key image after the one shown, going round. */
export function nextKey(keys: readonly KeyImage[], sop: string | undefined, frame: number | undefined): KeyImage | undefined {
  const now = keys.findIndex((key) => key.instance === sop && (key.frame === null || key.frame === frame));
  return keys[(now + 1) % (keys.length || 1)];
}
