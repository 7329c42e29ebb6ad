/** What the server would have a person know, until they have read it. */
import { serverStatus } from '../api/server-status';
import { serverNotices, type ServerNotice } from '../model/server-notices';
import { Live } from './live';
import { seenNotices } from './preferences';

export const notices = new Live<readonly ServerNotice[]>([]);

/** Asked once, when the page is loaded. That the server does not answer is said by what else is asked of it. */
export async function askForNotices(): Promise<void> {
  const status = await serverStatus().catch(() => undefined);
  const told = status === undefined ? [] : serverNotices(status);
  if (keysOf(told) !== seenNotices.value) notices.set(told);
}

/** Not said again in this tab, unless there is something else to say. */
export function closeNotices(): void {
  seenNotices.set(keysOf(notices.value));
  notices.set([]);
}

function keysOf(told: readonly ServerNotice[]): string {
  return told.map(({ key }) => key).join('\n');
}
