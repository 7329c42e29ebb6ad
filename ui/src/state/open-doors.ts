/** What a person should know of doors that others can reach, until they have read it. */
import { serverStatus } from '../api/server-status';
import { Live } from './live';
import { seenOpenDoors } from './preferences';

/** A sentence each. */
export const openDoors = new Live<readonly string[]>([]);

/** Asked once, when the page is loaded. That the server does not answer is said by what else is asked of it. */
export async function askForOpenDoors(): Promise<void> {
  const status = await serverStatus().catch(() => undefined);
  const told = status?.openDoors ?? [];
  if (inOne(told) !== seenOpenDoors.value) openDoors.set(told);
}

/** Not said again in this tab, unless it is something else. */
export function closeOpenDoors(): void {
  seenOpenDoors.set(inOne(openDoors.value));
  openDoors.set([]);
}

function inOne(told: readonly string[]): string {
  return told.join('\n');
}
