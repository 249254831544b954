/**
 * What a page that shows a study or report asks while it is in view: whether the country still gives it.
 *
 * Nothing is asked of a hidden page. Whoever only looks keeps no visit awake: the question says `idle` then, and when the visit has ended
 * the answer is the page that says so.
 */

const TICK_MS = 1000;
const BY_HAND_MS = 30_000;
export const PUT_AWAY = 'isthmus:put-away';

export interface Moment {
  visible: boolean;
  touched: boolean; // somebody did something here since it was asked last
  sinceMs: number;
  everyMs: number; // 0: only when somebody does something
}

export function isDue({ visible, touched, sinceMs, everyMs }: Moment): boolean {
  if (!visible) return false;
  return everyMs > 0 ? sinceMs >= everyMs : touched && sinceMs >= BY_HAND_MS;
}

export function watchStanding(): void {
  const main = document.querySelector<HTMLElement>('main[data-standing]');
  if (main === null) return;
  const everyMs = 1000 * Number(main.dataset.askAgain ?? '0');
  let [asked, touched, over] = [Date.now(), false, false];
  const look = async () => {
    const moment = { visible: document.visibilityState === 'visible', touched, sinceMs: Date.now() - asked, everyMs };
    if (over || !isDue(moment)) return;
    const address = `${main.dataset.standing ?? ''}${touched ? '' : '&idle=1'}`;
    [asked, touched] = [Date.now(), false];
    over = await ask(address, main);
  };
  for (const what of ['pointerdown', 'wheel', 'keydown', 'touchmove']) document.addEventListener(what, () => (touched = true), { passive: true, capture: true });
  document.addEventListener('visibilitychange', () => void look());
  window.setInterval(() => void look(), TICK_MS);
}

/** Asks once; true when nothing of the page is left to ask for. */
async function ask(address: string, main: HTMLElement): Promise<boolean> {
  const answer = await fetch(address, { redirect: 'manual' }).catch(() => undefined);
  if (answer === undefined) return false;
  if (answer.type === 'opaqueredirect') location.reload(); // signed out meanwhile
  else if (answer.status === 200) tell(await answer.text(), main);
  else if ([403, 404, 502].includes(answer.status)) putAway(await answer.text());
  else return false;
  return answer.status !== 200;
}

/** Says it where screen readers listen; the page is asked after from there on. */
function tell(said: string, main: HTMLElement): void {
  const place = main.querySelector<HTMLElement>('[data-told]');
  if (place === null) return;
  place.innerHTML = said;
  main.dataset.standing = place.querySelector<HTMLElement>('[data-standing]')?.dataset.standing ?? main.dataset.standing;
}

/** Nothing of the page stays on the screen; what stands there is the page that says why. */
function putAway(page: string): void {
  const made = new DOMParser().parseFromString(page, 'text/html');
  const card = made.querySelector<HTMLElement>('.halt__card');
  if (card === null) return location.reload();
  document.dispatchEvent(new Event(PUT_AWAY));
  document.title = made.title;
  if (made.documentElement.dataset.theme === undefined) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = made.documentElement.dataset.theme;
  document.body.className = made.body.className;
  card.setAttribute('role', 'alert');
  document.body.replaceChildren(...made.body.childNodes);
  const heading = card.querySelector('h1');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus();
}
