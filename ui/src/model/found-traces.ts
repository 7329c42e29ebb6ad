/** What a search brings back. */

export interface FoundTrace {
  readonly traceId: string;
  readonly rootService: string;
  readonly rootName: string;
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  /** Nanoseconds. */
  readonly duration: number;
  readonly spans: number;
  readonly errors: number;
  readonly orphans: number;
  readonly services: readonly { readonly name: string; readonly spans: number; readonly errors: number }[];
  /** Span ids that met the conditions, at most 20. */
  readonly matched: readonly string[];
}

/** Why the search went no further. */
export type Stopped = 'end' | 'limit' | 'time' | 'bytes';

export interface Found {
  readonly traces: readonly FoundTrace[];
  /** Spans looked at. */
  readonly inspected: number;
  readonly stopped: Stopped;
  readonly limit: number;
}
