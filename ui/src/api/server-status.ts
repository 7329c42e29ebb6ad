/** `GET /api/a1/status`. */
import type { Agent, ServerStatus } from '../model/server-status';
import { getJson } from './request';
import { Fields, readText } from './wire';

export async function serverStatus(signal?: AbortSignal): Promise<ServerStatus> {
  const fields = new Fields(await getJson('/api/a1/status', signal), 'status');
  return {
    spans: fields.optionalNumber('spans'),
    doors: fields.list('doors', (value, where) => {
      const door = new Fields(value, where);
      return { name: door.text('name'), address: door.text('address') };
    }),
    openDoors: fields.list('openDoors', readText),
    agent: readAgent(fields.optionalObject('agent')),
  };
}

function readAgent(fields: Fields): Agent {
  return {
    droppedDatagrams: fields.optionalNumber('droppedDatagrams'),
    droppedSpans: fields.optionalNumber('droppedSpans'),
    services: fields.list('services', (value, where) => {
      const service = new Fields(value, where);
      return {
        service: service.text('service'),
        missingBatches: service.optionalNumber('missingBatches'),
        lostByClients: service.optionalNumber('lostByClients'),
      };
    }),
  };
}
