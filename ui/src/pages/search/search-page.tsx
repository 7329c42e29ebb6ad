/** Traces: recent ones at first, then those that meet the query. */
import { useEffect } from 'preact/hooks';
import { countOf, formatCount } from '../../format/count';
import { formatDuration } from '../../format/duration';
import type { Found, FoundTrace } from '../../model/found-traces';
import { ANYTHING, MOST_TRACES, narrows, type SearchQuery } from '../../model/search-query';
import { Notice } from '../../parts/notice';
import { traceAddress } from '../../route/route';
import { useLive } from '../../state/live';
import { go, returning } from '../../state/location';
import { answer, ask, emptyStore, lastOpened, leaveSearch, showSearch } from '../../state/search-answers';
import { QueryBar } from './query-bar';
import { ResultList } from './result-list';
import { ScatterPlot } from './scatter-plot';
import { Welcome } from './welcome';

export function SearchPage({ query }: { readonly query: SearchQuery }) {
  useEffect(() => {
    document.title = query.service === '' ? 'tracelodge' : `${query.service} – tracelodge`;
    showSearch(query, returning.value);
    return leaveSearch;
  }, [query]);
  const onQuery = (next: SearchQuery): void => go({ page: 'search', query: next });
  return (
    <main class="search-page">
      <h1 class="hidden">Traces</h1>
      <QueryBar query={query} onQuery={onQuery} onRepeat={() => void ask(query)} />
      <Answer query={query} onQuery={onQuery} />
    </main>
  );
}

interface AnswerProps {
  readonly query: SearchQuery;
  readonly onQuery: (query: SearchQuery) => void;
}

function Answer({ query, onQuery }: AnswerProps) {
  const { found, failure, loading, narrowed, at, took } = useLive(answer);
  const empty = useLive(emptyStore);
  if (failure !== undefined) {
    return (
      <Notice icon="error" tone="error" title={failure.title}>
        <p>{failure.detail}</p>
        <button type="button" class="button" onClick={() => void ask(query)}>Try again</button>
      </Notice>
    );
  }
  if (found === undefined) return <div class="answer" aria-busy="true" />;
  if (found.traces.length === 0 && empty !== undefined) return <Welcome status={empty} />;
  const open = (trace: FoundTrace): void => {
    lastOpened.set(trace.traceId);
    go({ page: 'trace', address: traceAddress(trace.traceId) });
  };
  return (
    <div class="answer" aria-busy={loading}>
      {found.traces.length > 0 && (
        <ScatterPlot
          traces={found.traces}
          onOpen={open}
          onRange={(start, end) => onQuery({ ...query, start: String(start), end: String(end) })}
        />
      )}
      <Told found={found} query={query} took={took} onQuery={onQuery} />
      {found.traces.length > 0 ? (
        <ResultList traces={found.traces} now={at} narrowed={narrowed} onOpen={open} />
      ) : (
        <Nothing query={query} onQuery={onQuery} />
      )}
    </div>
  );
}

interface ToldProps extends AnswerProps {
  readonly found: Found;
  readonly took: number;
}

/** What was looked at, and why no further. */
function Told({ found, query, took, onQuery }: ToldProps) {
  const more = Math.min(query.limit * 4, MOST_TRACES);
  return (
    <p class="told" role="status">
      <strong>{countOf(found.traces.length, 'trace')}</strong>
      <span>{countOf(found.inspected, 'span')} inspected in {formatDuration(took * 1e6)}</span>
      <span>{REASONS[found.stopped](found)}</span>
      {found.stopped === 'limit' && query.limit < MOST_TRACES && (
        <button type="button" class="text-button" onClick={() => onQuery({ ...query, limit: more })}>
          Show up to {formatCount(more)}
        </button>
      )}
    </p>
  );
}

const REASONS: Record<Found['stopped'], (found: Found) => string> = {
  end: () => 'the whole time range was searched',
  limit: (found) => `stopped at the limit of ${formatCount(found.limit)} traces`,
  time: () => 'stopped because it took too long: a shorter time range or a service will reach further',
  bytes: () => 'stopped because it read too much: a shorter time range or a service will reach further',
};

function Nothing({ query, onQuery }: AnswerProps) {
  return (
    <Notice icon="search" title="No trace meets these conditions">
      <p>
        {query.where.length + (query.min === '' ? 0 : 1) + (query.max === '' ? 0 : 1) > 1
          ? 'All conditions must hold on one and the same span.'
          : 'A longer time range may help.'}
      </p>
      <div class="notice-actions">
        {query.start !== '-168h' && (
          <button type="button" class="button" onClick={() => onQuery({ ...query, start: '-168h', end: '' })}>
            Search the last 7 days
          </button>
        )}
        {narrows(query) && (
          <button type="button" class="button" onClick={() => onQuery(ANYTHING)}>Show recent traces</button>
        )}
      </div>
    </Notice>
  );
}
