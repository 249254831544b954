/** Fetches the instances of a series ahead of the reader: the shown one first, then where the scrolling goes. */

const AT_ONCE = 6;
const PAUSES_MS = [500, 2000];
const PREPARED_WITHIN_MS = 30 * 60_000;
const LONGEST_PAUSE_S = 60;

/** The order in which to want `count` things from `at`: two ahead for each one behind. */
export function plan(count: number, at: number, direction: 1 | -1): number[] {
  const order = [at];
  let ahead = at + direction;
  let behind = at - direction;
  const inside = (i: number) => i >= 0 && i < count;
  while (inside(ahead) || inside(behind)) {
    for (let i = 0; i < 2 && inside(ahead); i += 1, ahead += direction) order.push(ahead);
    if (inside(behind)) order.push(behind);
    behind -= direction;
  }
  return order;
}

/** A slow archive fetches the image; `seconds` is when to ask again. */
class Preparing extends Error {
  constructor(readonly seconds: number) {
    super('preparing');
  }
}

/** The portal stopped: what came may be of another person. Nothing is tried again. */
export class AnotherPerson extends Error {}

/** The country does not give it any more. Nothing is tried again. */
class Withdrawn extends Error {}

export class Readahead {
  #wanted: string[] = [];
  #flying = new Map<string, AbortController>();
  #done = new Set<string>();
  #failed = new Set<string>();

  constructor(
    private readonly arrived: (url: string, bytes: ArrayBuffer) => void,
    private readonly failed: (url: string) => void,
    private readonly stopped: () => void,
    private readonly preparing: (url: string, seconds: number) => void,
    private readonly withdrawn: () => void = () => undefined,
  ) {}

  /** Wants these addresses, in this order; the first does not wait for a free place. */
  aim(urls: readonly string[]): void {
    this.#wanted = [...new Set(urls)];
    const first = this.#wanted[0];
    if (first !== undefined && !this.#known(first)) void this.#fetch(first);
    this.#fill();
  }

  /** Forgets what has failed, so that it is tried anew. */
  again(): void {
    this.#failed.clear();
  }

  hasFailed(url: string): boolean {
    return this.#failed.has(url);
  }

  stop(): void {
    this.#wanted = [];
    for (const flight of this.#flying.values()) flight.abort();
    this.#flying.clear();
  }

  forget(url: string): void {
    this.#done.delete(url);
  }

  #known(url: string): boolean {
    return this.#done.has(url) || this.#flying.has(url) || this.#failed.has(url);
  }

  #fill(): void {
    for (const url of this.#wanted) {
      if (this.#flying.size >= AT_ONCE) return;
      if (!this.#known(url)) void this.#fetch(url);
    }
  }

  async #fetch(url: string): Promise<void> {
    const flight = new AbortController();
    this.#flying.set(url, flight);
    try {
      const bytes = await this.#persist(url, flight.signal);
      this.#done.add(url);
      this.arrived(url, bytes);
    } catch (problem) {
      if (flight.signal.aborted) return;
      if (problem instanceof AnotherPerson) {
        this.stopped();
        return;
      }
      if (problem instanceof Withdrawn) {
        this.withdrawn();
        return;
      }
      this.#failed.add(url);
      this.failed(url);
    } finally {
      if (this.#flying.get(url) === flight) this.#flying.delete(url);
    }
    this.#fill();
  }

  /** Asks again after a pause. While a slow archive prepares the image that is when it says; else two times. */
  async #persist(url: string, signal: AbortSignal): Promise<ArrayBuffer> {
    const until = Date.now() + PREPARED_WITHIN_MS;
    const pauses = [...PAUSES_MS];
    for (;;) {
      try {
        return await this.#ask(url, signal);
      } catch (problem) {
        if (signal.aborted || problem instanceof AnotherPerson || problem instanceof Withdrawn) throw problem;
        const waits = problem instanceof Preparing && Date.now() < until;
        const pause = waits ? 1000 * Math.min(LONGEST_PAUSE_S, problem.seconds) : pauses.shift();
        if (pause === undefined) throw problem;
        if (waits) this.preparing(url, problem.seconds);
        await new Promise((resolve) => setTimeout(resolve, pause));
        signal.throwIfAborted();
      }
    }
  }

  async #ask(url: string, signal: AbortSignal): Promise<ArrayBuffer> {
    const answer = await fetch(url, { headers: { Accept: 'application/dicom' }, signal });
    const reason = answer.headers.get('X-Isthmus-Reason');
    if (reason === 'wrong-patient') throw new AnotherPerson();
    if (reason === 'withdrawn') throw new Withdrawn();
    if (reason === 'preparing') throw new Preparing(Math.max(1, Number(answer.headers.get('Retry-After')) || LONGEST_PAUSE_S));
    const type = answer.headers.get('Content-Type') ?? '';
    if (!answer.ok || !type.startsWith('application/dicom')) throw new Error(String(answer.status));
    return answer.arrayBuffer();
  }
}
