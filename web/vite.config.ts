/** Three entries with fixed names (portal, viewer, reader); what they load may carry a hash under assets/. */
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const here = import.meta.dirname;
const built = join(here, '../src/isthmus/pages/static/built');

/** What pdf.js fetches by name at run time: character maps, standard fonts, its own decoders. */
function pdfFiles(): Plugin {
  return {
    name: 'pdf-files',
    closeBundle() {
      for (const folder of ['cmaps', 'standard_fonts', 'wasm', 'iccs']) {
        // quickjs would run the scripts of a document; they are switched off
        const filter = (source: string) => !/quickjs/i.test(source);
        cpSync(join(here, 'node_modules/pdfjs-dist', folder), join(built, 'pdfjs', folder), { recursive: true, filter });
      }
    },
  };
}

/** The decoders ask for Node's modules where there are none; they are never used in a browser. */
function noNode(): Plugin {
  return {
    name: 'no-node',
    enforce: 'pre',
    resolveId: (name) => (name === 'fs' || name === 'path' ? '\0none' : null),
    load: (id) => (id === '\0none' ? 'export default {}' : null),
  };
}

interface Locked {
  version?: string;
  license?: string;
  dev?: boolean;
  optional?: boolean;
}

/** Name, version and licence of all that is shipped, with the licence's own text where the package brings one. */
function thirdParty(): Plugin {
  return {
    name: 'third-party',
    closeBundle() {
      const lock = JSON.parse(readFileSync(join(here, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };
      const shipped = Object.entries(lock.packages).filter(([path, p]) => path !== '' && !p.dev && !p.optional);
      const parts = shipped.map(([path, p]) => {
        const name = path.replace(/^.*node_modules\//, '');
        const text = readdirSync(join(here, path)).find((file) => /^licen[cs]e/i.test(file));
        const body = text === undefined ? '' : `\n\n${readFileSync(join(here, path, text), 'utf8').trim()}`;
        return `${name} ${p.version ?? ''}: ${p.license ?? ''}${body}`;
      });
      const head =
        'Software of others in the pages of Isthmus.\n' +
        'Inside the codec packages: CharLS (BSD-3-Clause), OpenJPEG (BSD-2-Clause), OpenJPH (BSD-2-Clause), ' +
        'libjpeg-turbo (IJG, BSD-3-Clause).\nFonts of built/pdfjs/standard_fonts: see the licence files beside them.';
      writeFileSync(join(built, '../THIRD-PARTY.txt'), `${[head, ...parts].join(`\n\n${'-'.repeat(80)}\n`)}\n`);
    },
  };
}

export default defineConfig({
  root: here,
  base: './',
  publicDir: false,
  plugins: [pdfFiles(), thirdParty()],
  logLevel: 'warn',
  worker: {
    format: 'es',
    plugins: () => [noNode()],
    rolldownOptions: {
      output: { entryFileNames: 'assets/[name]-[hash].js', chunkFileNames: 'assets/[name]-[hash].js' },
    },
  },
  build: {
    outDir: built,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    rolldownOptions: {
      input: { portal: 'pages/portal.ts', viewer: 'viewer/main.ts', reader: 'pages/reader.ts' },
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: ({ names }) => (names[0]?.endsWith('.css') ? '[name][extname]' : 'assets/[name]-[hash][extname]'),
      },
    },
  },
});
