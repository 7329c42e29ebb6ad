/** What the search page asks for. Empty text means "any". */

export interface SearchQuery {
  readonly service: string;
  readonly operation: string;
  /** `key=value`, all must hold on one span. */
  readonly where: readonly string[];
  /** Go style, `1.2s`. */
  readonly min: string;
  readonly max: string;
  /** Relative (`-1h`) or nanoseconds since 1970. */
  readonly start: string;
  /** Empty means now. */
  readonly end: string;
  readonly limit: number;
}

export const DEFAULT_LIMIT = 50;
export const MOST_TRACES = 1500;
export const DEFAULT_START = '-48h';

export const ANYTHING: SearchQuery = {
  service: '',
  operation: '',
  where: [],
  min: '',
  max: '',
  start: DEFAULT_START,
  end: '',
  limit: DEFAULT_LIMIT,
};

/** Whether the query asks for more than recent traces. */
export function narrows(query: SearchQuery): boolean {
  return (
    query.service !== '' ||
    query.operation !== '' ||
    query.where.length > 0 ||
    query.min !== '' ||
    query.max !== ''
  );
}
