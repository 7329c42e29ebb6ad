/** Where the page is: the route in the address bar, and ways to go elsewhere. */
import { parseRoute, type Route, routePath } from '../route/route';
import { Live } from './live';

export const route = new Live<Route>(parseRoute(new URL(window.location.href)));

/** Whether the route was reached by back or forward: then what was left there is shown again. */
export const returning = new Live(false);

export function followAddressBar(): void {
  // A deep link is a click too: on the clock since the browser began to load.
  if (route.value.page === 'trace') performance.mark('trace:click', { startTime: 0 });
  window.addEventListener('popstate', () => {
    markOpening();
    returning.set(true);
    route.set(parseRoute(new URL(window.location.href)));
  });
}

/** A step that the back button undoes. */
export function go(to: Route): void {
  if (to.page === 'trace') performance.mark('trace:click');
  const path = routePath(to);
  if (path !== window.location.pathname + window.location.search) window.history.pushState(null, '', path);
  returning.set(false);
  route.set(to);
}

/** A change of the view that is worth a link but not a step back. Nobody needs to hear of it: the view shows it. */
export function amend(path: string): void {
  window.history.replaceState(window.history.state, '', path);
}

function markOpening(): void {
  if (/^\/trace\//.test(window.location.pathname)) performance.mark('trace:click');
}
