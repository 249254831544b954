/** Window presets F1 to F8: F1 is as sent, the others belong to the modality or are the image's own further windows. */

import type { Window } from './grey.ts';

/** Soft tissue, lung, bone, brain, vessels, mediastinum, in Hounsfield units. */
const CT: readonly Window[] = [
  { centre: 40, width: 400 },
  { centre: -600, width: 1500 },
  { centre: 400, width: 1800 },
  { centre: 40, width: 80 },
  { centre: 200, width: 600 },
  { centre: 50, width: 350 },
];

/** The window of a preset; undefined means as sent, null that there is none of that number. */
export function preset(index: number, modality: string, sent: readonly Window[]): Window | undefined | null {
  if (index === 1) return undefined;
  const offered = [...(modality === 'CT' ? CT : []), ...sent.slice(1)];
  return offered[index - 2] ?? null;
}
