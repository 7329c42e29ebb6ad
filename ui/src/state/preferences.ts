/** What a person chose once and expects to find again. Kept in the browser, never in the URL. */
import { Live } from './live';

export type Theme = 'auto' | 'light' | 'dark';
export type Zone = 'local' | 'utc';

export const theme = kept<Theme>('theme', 'auto', (text) =>
  text === 'light' || text === 'dark' ? text : 'auto',
);
export const zone = kept<Zone>('zone', 'local', (text) => (text === 'utc' ? 'utc' : 'local'));
/** Share of the waterfall's width. */
export const nameColumn = kept<number>('name-column', 0.34, shareOr(0.34));
/** Pixels. */
export const panelWidth = kept<number>('panel-width', 440, shareOr(440));
/** Single-letter keys can be switched off: speech input would press them (WCAG 2.1.4). */
export const letterKeys = kept<boolean>('letter-keys', true, (text) => text !== 'false');
/** What the server had to say when that was closed; until the browser's tab is. */
export const seenNotices = kept<string>('notices', '', (text) => text, () => window.sessionStorage);

/** Whether the page is dark now, by choice or by the system's setting. */
export const dark = new Live(false);

/** Puts the theme on the document and follows the system while it is `auto`. */
export function followTheme(): void {
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  const apply = (): void => {
    const now = theme.value === 'dark' || (theme.value === 'auto' && system.matches);
    document.documentElement.dataset['theme'] = now ? 'dark' : 'light';
    dark.set(now);
  };
  theme.listen(apply);
  system.addEventListener('change', apply);
  apply();
}

function kept<Value extends string | number | boolean>(
  name: string,
  fallback: Value,
  read: (text: string) => Value,
  storage: () => Storage = () => window.localStorage,
): Live<Value> {
  const key = `tracelodge.${name}`;
  const stored = attempt(() => storage().getItem(key));
  const live = new Live<Value>(stored === null || stored === undefined ? fallback : read(stored));
  live.listen(() => attempt(() => storage().setItem(key, String(live.value))));
  return live;
}

/** Storage may be forbidden; then a choice lasts as long as the page. */
function attempt<Result>(action: () => Result): Result | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function shareOr(fallback: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    return Number.isFinite(value) && value > 0 ? value : fallback;
  };
}
