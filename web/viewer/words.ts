/** Every sentence comes from the server, in the reader's language; here are only their names. */

let words: Readonly<Record<string, string>> = {};

export function learn(given: Readonly<Record<string, string>>): void {
  words = given;
}

/** The sentence of that name with its {places} filled; the bare name when the server sent none. */
export function say(name: string, places: Readonly<Record<string, string | number>> = {}): string {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (whole, place: string) => String(places[place] ?? whole));
}

/** The page's language; English is written the European way. */
export function language(): string {
  const lang = document.documentElement.lang || 'en';
  return lang === 'en' ? 'en-GB' : lang;
}
