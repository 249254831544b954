/** What the portal says of the images that came: that they name the patient a little differently, or that all must stop. */

import { say } from './words.ts';

export interface Notes {
  explained: boolean;
  stopped: boolean;
}

export async function notesAt(address: string | undefined): Promise<Notes> {
  const nothing = { explained: false, stopped: false };
  if (address === undefined) return nothing;
  const answer = await fetch(address, { headers: { Accept: 'application/json' }, redirect: 'manual' }).catch(() => undefined);
  return answer?.ok === true ? ((await answer.json()) as Notes) : nothing;
}

/** Clears the screen; only the sentence stands, and where to read what to do. */
export function showStop(main: HTMLElement): void {
  document.querySelector('.patient')?.remove();
  const make = (name: string, text: string, classes = '') => Object.assign(document.createElement(name), { textContent: text, className: classes });
  const card = make('div', '', 'halt__card halt__card--stop');
  const heading = make('h1', say('stopped'));
  heading.tabIndex = -1;
  const link = Object.assign(make('a', say('stopped_link'), 'button button--go'), { href: main.dataset.stopped ?? '/' });
  card.setAttribute('role', 'alert');
  card.append(heading, make('p', say('stopped_lead'), 'lead'), link);
  main.replaceChildren(card);
  main.className = 'halt';
  heading.focus();
}
