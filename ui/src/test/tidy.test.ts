/** Holds the floors of the page: which folder may import which. */
import { expect, test } from 'vitest';

/** Folder → what it may import besides itself. `pages/x` never imports another page. */
const FLOORS: Record<string, readonly string[]> = {
  model: [],
  format: [],
  draw: [],
  api: ['model'],
  route: ['model'],
  state: ['model', 'api', 'route'],
  parts: ['format', 'draw'],
  'pages/search': ['model', 'format', 'draw', 'route', 'state', 'parts'],
  'pages/trace': ['model', 'format', 'draw', 'route', 'state', 'parts'],
  main: ['model', 'route', 'state', 'parts', 'pages/search', 'pages/trace', 'style'],
};

/** Floors that may not know how things are shown. */
const WITHOUT_PREACT = ['model', 'format', 'draw', 'api', 'route'];
const VAGUE = /^(util|utils|common|helper|helpers|misc|shared|manager|base|core|types)\.tsx?$/;

const sources = import.meta.glob<string>('../**/*.{ts,tsx}', { query: '?raw', import: 'default', eager: true });
const files = Object.entries(sources)
  .map(([path, text]) => ({ path: fromRoot(path, 'test/tidy.test.ts'), text }))
  .filter(({ path }) => !path.startsWith('test/'));
const code = files.filter(({ path }) => !path.endsWith('.test.ts'));

/** The path below `src` of what `importer` names. */
function fromRoot(name: string, importer: string): string {
  const parts = importer.split('/').slice(0, -1);
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function floorOf(path: string): string {
  const [folder = '', below = ''] = path.split('/');
  if (!path.includes('/')) return folder.replace(/\.tsx?$/, '');
  return folder === 'pages' ? `pages/${below}` : folder;
}

function importsOf(text: string): string[] {
  const statements = /^(?:import|export)\b(?:[^;'"]*?\bfrom)?\s*'([^']+)'|\bimport\('([^']+)'\)/gm;
  return [...text.matchAll(statements)].map((match) => match[1] ?? match[2] ?? '');
}

test('the table is about files that exist', () => {
  expect(code.length).toBeGreaterThan(40);
});

test.each(code)('$path imports only what stands below it', ({ path, text }) => {
  const floor = floorOf(path);
  const allowed = FLOORS[floor];
  expect(allowed, `${floor} is not in the table`).toBeDefined();
  for (const name of importsOf(text)) {
    if (name.startsWith('.')) {
      const other = floorOf(fromRoot(name, path));
      expect([floor, ...(allowed ?? [])], `${path} imports ${name}`).toContain(other);
    } else {
      expect(name, `${path} imports a package`).toMatch(/^preact(\/hooks)?$/);
      expect(WITHOUT_PREACT, `${path} imports ${name}`).not.toContain(floor);
    }
  }
});

test.each(files)('$path opens with a sentence and has a precise name', ({ path, text }) => {
  expect(text).toMatch(/^\/\*\* ?\S|^\/\*\*\n/);
  expect(path.split('/').at(-1)).not.toMatch(VAGUE);
});

test.each(code)('$path holds to the house rules', ({ path, text }) => {
  const bare = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  expect(bare, 'any').not.toMatch(/[:<,]\s*any\b/);
  expect(bare, 'markup from text').not.toMatch(/innerHTML|dangerouslySetInnerHTML|insertAdjacentHTML|\beval\(/);
  expect(bare, 'another origin').not.toMatch(/['"`]https?:\/\/(?!www\.w3\.org|\$\{)/);
  if (!path.startsWith('api/')) expect(bare, 'a cast').not.toMatch(/[\w)\]}] as (?!const\b)[A-Z{(]\w*\s*[;,)\].]/);
});
