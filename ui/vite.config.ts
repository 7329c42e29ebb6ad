/** How the page is built: hashed files under assets/, a .gz beside each, and the script budget. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** The most that may travel, gzipped, before the page answers. */
const INITIAL_SCRIPT_LIMIT = 40 * 1024;

/** Holds the first paint until the theme is known: no flash of the wrong background. */
function renderAfterScript(): Plugin {
  return {
    name: 'render-after-script',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
    },
  };
}

/** Fails the build when the scripts that index.html loads outgrow the budget. */
function scriptBudget(): Plugin {
  return {
    name: 'script-budget',
    apply: 'build',
    generateBundle(_options, bundle) {
      let bytes = 0;
      const waiting = Object.values(bundle).filter((file) => file.type === 'chunk' && file.isEntry);
      const seen = new Set(waiting);
      for (const file of waiting) {
        if (file.type !== 'chunk') continue;
        bytes += gzipSync(file.code, { level: 9 }).length;
        for (const name of file.imports) {
          const imported = bundle[name];
          if (imported === undefined || seen.has(imported)) continue;
          seen.add(imported);
          waiting.push(imported);
        }
      }
      if (bytes > INITIAL_SCRIPT_LIMIT) {
        this.error(`the initial script is ${bytes} bytes gzipped, more than ${INITIAL_SCRIPT_LIMIT}`);
      }
    },
  };
}

/** Writes a gzipped copy beside each built file, so that the server never compresses. */
function gzipSiblings(): Plugin {
  let folder = '';
  return {
    name: 'gzip-siblings',
    apply: 'build',
    writeBundle(options) {
      folder = options.dir ?? '';
    },
    closeBundle() {
      if (folder === '') return;
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(js|css|svg|html)$/.test(name)) continue;
        const path = join(folder, name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [renderAfterScript(), scriptBudget(), gzipSiblings()],
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 5173,
    proxy: { '/api': process.env['SERVER_URL'] ?? 'http://127.0.0.1:16686' },
  },
});
