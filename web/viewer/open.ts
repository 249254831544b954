/** The description of a study as the portal gives it (web/README.md), and which of its objects are pictures. */

export interface Instance {
  uid: string;
  number: number | null;
  frames: number | null;
  sop_class: string;
  url?: string;
  text?: string;
}

export interface Series {
  uid: string;
  number: number | null;
  modality: string;
  description: string;
  instances: Instance[];
}

export interface KeyImage {
  series: string;
  instance: string;
  frame: number | null;
  why: string;
}

export interface Study {
  patient: { name: string; native_name: string | null; birth_date: string; sex: string };
  study: { uid: string; date: string; description: string; country: string; custodian: string };
  series: Series[];
  key_images: KeyImage[];
  words: Record<string, string>;
}

export async function openStudy(url: string): Promise<Study> {
  const answer = await fetch(url, { headers: { Accept: 'application/json' } });
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()) as Study;
}

const CLASS = '1.2.840.10008.5.1.4.1.1.';

/** Storage classes without a picture of their own: what they are called in the list of words. Source: PS3.4 B.5. */
const UNDRAWN: readonly (readonly [string, string])[] = [
  ['88.59', 'kind_key_images'],
  ['88.', 'kind_structured_report'],
  ['104.', 'kind_document'],
  ['11.', 'kind_presentation'],
  ['9.', 'kind_waveform'],
  ['66', 'kind_derived'],
  ['67', 'kind_derived'],
  ['68', 'kind_derived'],
  ['481.1', ''],
  ['481.', 'kind_radiotherapy'],
];

/** The word for what an object is when it cannot be drawn; undefined for a picture. */
export function undrawnKind(sopClass: string): string | undefined {
  if (!sopClass.startsWith(CLASS)) return undefined;
  const rest = sopClass.slice(CLASS.length);
  const found = UNDRAWN.find(([start]) => (start.endsWith('.') ? rest.startsWith(start) : rest === start || rest.startsWith(`${start}.`)));
  return found?.[1] === '' ? undefined : found?.[1];
}

export interface Stop {
  instance: Instance;
  frame: number;
}

/** All frames of the drawable instances, in the order the description gives: number, then UID. */
export function stopsOf(series: Series): Stop[] {
  return series.instances
    .filter((instance) => undrawnKind(instance.sop_class) === undefined)
    .sort((a, b) => (a.number ?? Infinity) - (b.number ?? Infinity) || compareUid(a.uid, b.uid))
    .flatMap((instance) => Array.from({ length: instance.frames ?? 1 }, (_, i) => ({ instance, frame: i + 1 })));
}

export function compareUid(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
