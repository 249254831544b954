/** Calendar dates stay calendar dates: no zone can move a birthday to the day before. */

/** "1961-03-14" as day, month in words and year, in the order of the language; anything else as it came. */
export function calendarDate(value: string, language: string): string {
  const parts = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}:\d{2}))?/.exec(value);
  if (parts === null) return value;
  const [, year, month, day, time] = parts;
  const noon = Date.UTC(Number(year), Number(month) - 1, Number(day), 12);
  const text = new Intl.DateTimeFormat(language, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    timeZone: 'UTC',
  }).format(noon);
  return time === undefined ? text : `${text} ${time}`;
}
