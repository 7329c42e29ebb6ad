/** Starts a tracelodge of its own for the test: free ports, a new data folder, both gone afterwards. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const READY_WITHIN = 20_000;

/** Doors that nothing is sent to here. */
const UNUSED = [
  'jaeger_grpc',
  'jaeger_http',
  'agent_compact',
  'agent_binary',
  'agent_zipkin',
  'sampling_http',
  'sampling_grpc',
  'zipkin',
];

/** Everything this test knows about the command line is in this function. */
function argumentsFor(folder, ports, settings) {
  const doors = Object.entries(ports).map(([door, port]) => `doors.${door}=127.0.0.1:${port}`);
  doors.push(...UNUSED.map((door) => `doors.${door}=off`), ...settings);
  return ['--data-dir', folder, ...doors.flatMap((door) => ['--set', door])];
}

/**
 * With more settings, each `key=value`.
 * @returns the origins of the page and of the OTLP door, and how to stop.
 */
export async function startServer(binary, settings = []) {
  const folder = await mkdtemp(join(tmpdir(), 'tracelodge-e2e-'));
  const [ui, otlp_http, otlp_grpc, storage, archive, query, admin] = await freePorts(7);
  const ports = { ui, otlp_http, otlp_grpc, storage, archive, query, admin };
  const child = spawn(binary, argumentsFor(folder, ports, settings), { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => log.push(text));
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve(`cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const end = await Promise.race([exited, pause(READY_WITHIN, 'not within 20 s', { ref: false })]);
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    return end;
  };
  const page = `http://127.0.0.1:${ui}`;
  try {
    await eventually('the server is ready', READY_WITHIN, async () => {
      const ended = await Promise.race([exited, pause(0, undefined)]);
      if (ended !== undefined) throw new Fatal(`the server ended (${ended}):\n${log.join('')}`);
      return (await fetch(`${page}/api/a1/status`)).ok;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { page, otlp: `http://127.0.0.1:${otlp_http}`, grpcPort: otlp_grpc, stop, log: () => log.join('') };
}

/** Ends the waiting at once. */
class Fatal extends Error {}

/** Asks again until `check` gives something true; errors count as "not yet". */
export async function eventually(what, within, check) {
  const end = Date.now() + within;
  let last;
  while (Date.now() < end) {
    try {
      const value = await check();
      if (value) return value;
    } catch (error) {
      if (error instanceof Fatal) throw error;
      last = error;
    }
    await pause(50);
  }
  throw new Error(`waited ${within} ms until ${what}${last === undefined ? '' : `: ${last.message}`}`);
}

/** Ports that were free a moment ago. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((resolve, reject) => {
      const server = createServer().once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
