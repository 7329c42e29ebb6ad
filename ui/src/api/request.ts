/** One way to ask the server, and one kind of failure. */

/** How long a whole answer may take, milliseconds; the server's own limits are shorter. */
const PATIENCE = 60_000;

/** What went wrong, in the server's own words where it gave any. */
export class RequestError extends Error {
  /** The HTTP status, 0 when there was no answer at all. */
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, detail: string) {
    super(detail);
    this.name = 'RequestError';
    this.status = status;
    this.title = title;
  }
}

export async function getJson(path: string, signal?: AbortSignal): Promise<unknown> {
  const response = await get(path, 'application/json', signal);
  try {
    return await response.json();
  } catch (cause) {
    throw broken(cause, 'the answer is not JSON');
  }
}

export async function getBytes(path: string, type: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const response = await get(path, type, signal);
  try {
    return await response.arrayBuffer();
  } catch (cause) {
    throw broken(cause, 'the answer broke off');
  }
}

async function get(path: string, accept: string, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(PATIENCE);
  let response: Response;
  try {
    response = await fetch(path, { headers: { accept }, signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
  } catch (cause) {
    throw broken(cause, 'the server does not answer; is it still running?');
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** A broken exchange, unless it was us who let go. */
function broken(cause: unknown, detail: string): unknown {
  if (isAbort(cause)) return cause;
  if (cause instanceof DOMException && cause.name === 'TimeoutError') {
    return new RequestError(0, 'No answer', `the server did not answer in full within ${PATIENCE / 1000} s`);
  }
  return new RequestError(0, 'No answer', detail);
}

async function refusal(response: Response): Promise<RequestError> {
  const fallback = `the server answered ${response.status}`;
  try {
    const body: unknown = await response.json();
    if (typeof body === 'object' && body !== null) {
      const title = 'title' in body && typeof body.title === 'string' ? body.title : 'Request failed';
      const detail = 'detail' in body && typeof body.detail === 'string' ? body.detail : fallback;
      return new RequestError(response.status, title, detail);
    }
  } catch {
    // A proxy's HTML page, for one: the status is all there is to say.
  }
  return new RequestError(response.status, 'Request failed', fallback);
}

/** Whether the request was given up by the page itself. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
