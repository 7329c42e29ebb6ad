/** What a server would have a person know: doors that stand open, and what was lost on the way to it. */
import type { Agent, ServerStatus } from './server-status';

export interface ServerNotice {
  /** The same while it is about the same, though its numbers grow. */
  readonly key: string;
  /** Without its full stop. */
  readonly text: string;
}

/** Services that are named, those that lost most. */
const MOST_NAMED = 5;

export function serverNotices(status: ServerStatus): readonly ServerNotice[] {
  const open = status.openDoors.map((text) => ({ key: text, text }));
  return [...open, ...lostOverUdp(status.agent)];
}

/** Something that was lost, and what tells it from other things. */
interface Loss {
  readonly of: string;
  readonly text: string;
}

function lostOverUdp({ droppedDatagrams, droppedSpans, services }: Agent): ServerNotice[] {
  const losses: Loss[] = [];
  if (droppedDatagrams > 0) {
    losses.push({ of: 'system', text: `${count(droppedDatagrams, 'datagram')} that the system dropped` });
  }
  if (droppedSpans > 0) {
    losses.push({ of: 'room', text: `${count(droppedSpans, 'span')} that came in and could not be kept` });
  }
  const batches = (lost: number, whose: string) => `${count(lost, 'batch', 'batches')} of ${whose}`;
  const spans = (lost: number, whose: string) => `${count(lost, 'span')} by clients of ${whose} before they were sent`;
  losses.push(...worst(services.map((service) => [service.service, service.missingBatches]), batches));
  losses.push(...worst(services.map((service) => [service.service, service.lostByClients]), spans));
  if (losses.length === 0) return [];
  const key = ['udp', ...losses.map(({ of }) => of)].join(' ');
  return [{ key, text: `Lost over UDP: ${losses.map(({ text }) => text).join('; ')}` }];
}

/** Of services and what each lost: those that lost most by name, the others together. */
function worst(services: [string, number][], say: (lost: number, whose: string) => string): Loss[] {
  const sorted = services.filter(([, lost]) => lost > 0).sort(([, one], [, other]) => other - one);
  const losses = sorted.slice(0, MOST_NAMED).map(([name, lost]) => ({ of: name, text: say(lost, name) }));
  const rest = sorted.slice(MOST_NAMED);
  if (rest.length === 0) return losses;
  const sum = rest.reduce((total, [, lost]) => total + lost, 0);
  return [...losses, { of: 'others', text: say(sum, count(rest.length, 'other service')) }];
}

function count(number: number, noun: string, nouns = `${noun}s`): string {
  return `${number.toLocaleString('en-US')} ${number === 1 ? noun : nouns}`;
}
