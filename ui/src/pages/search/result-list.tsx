/** The found traces, newest first; j and k walk them, Enter opens. */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { formatCount, countOf } from '../../format/count';
import { formatDuration } from '../../format/duration';
import { formatAgo, formatClock, formatDate } from '../../format/time';
import type { FoundTrace } from '../../model/found-traces';
import { ServiceColors } from '../../model/service-color';
import { shownName } from '../../model/trace';
import { useKeys } from '../../parts/page-keys';
import { Link } from '../../parts/link';
import { ServiceChip, ServiceDot } from '../../parts/service-chip';
import { tracePath, traceAddress } from '../../route/route';
import { useLive } from '../../state/live';
import { letterKeys, zone } from '../../state/preferences';
import { lastOpened } from '../../state/search-answers';

interface Props {
  readonly traces: readonly FoundTrace[];
  /** When the answer came, milliseconds since 1970. */
  readonly now: number;
  /** Whether the query had conditions, so that "matched" says something. */
  readonly narrowed: boolean;
  readonly onOpen: (trace: FoundTrace) => void;
}

const MOST_CHIPS = 6;

export function ResultList({ traces, now, narrowed, onOpen }: Props) {
  const list = useRef<HTMLOListElement>(null);
  const colors = useMemo(() => new ServiceColors(traces.flatMap(servicesOf)), [traces]);
  const longest = Math.max(1, ...traces.map((trace) => trace.duration));
  useEffect(() => {
    // Coming back from a trace: go on where it was left, unless the focus is somewhere already.
    const left = list.current?.querySelector<HTMLElement>(`[data-trace="${lastOpened.value}"]`);
    lastOpened.set('');
    if (document.activeElement === document.body) left?.focus();
  }, []);
  useKeys((key) => {
    if (!letterKeys.value || (key !== 'j' && key !== 'k') || list.current === null) return false;
    const links = [...list.current.querySelectorAll<HTMLElement>('a.result')];
    const from = links.findIndex((link) => link === document.activeElement);
    const to = from < 0 ? 0 : from + (key === 'j' ? 1 : -1);
    links[Math.min(Math.max(to, 0), links.length - 1)]?.focus();
    return true;
  });
  return (
    <div class="results">
      <div class="result-head" aria-hidden="true">
        <span>Start</span>
        <span>Trace</span>
        <span class="number">Spans</span>
        <span class="number">Errors</span>
        <span>Duration</span>
      </div>
      <ol ref={list} aria-label="Traces">
        {traces.map((trace) => (
          <li key={trace.traceId}>
            <Result trace={trace} colors={colors} longest={longest} now={now} narrowed={narrowed} onOpen={onOpen} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function servicesOf(trace: FoundTrace): string[] {
  return [trace.rootService, ...trace.services.map(({ name }) => name)];
}

interface ResultProps extends Omit<Props, 'traces'> {
  readonly trace: FoundTrace;
  readonly colors: ServiceColors;
  readonly longest: number;
}

function Result({ trace, colors, longest, now, narrowed, onOpen }: ResultProps) {
  const shownZone = useLive(zone);
  const share = Math.max(trace.duration / longest, 0.004);
  return (
    <Link
      class="result"
      href={tracePath(traceAddress(trace.traceId))}
      data-trace={trace.traceId}
      data-error={trace.errors > 0}
      onFollow={() => onOpen(trace)}
    >
      <span class="result-start" title={formatDate(trace.start, shownZone)}>
        {formatClock(trace.start, shownZone)}
        <small>{formatAgo(trace.start, now)}</small>
      </span>
      <span class="result-trace">
        <span class="result-name">
          <ServiceDot color={colors.of(trace.rootService)} />
          <strong>{trace.rootService === '' ? '(no service)' : trace.rootService}</strong>
          <span class="result-operation">{shownName(trace.rootName)}</span>
        </span>
        <Services trace={trace} colors={colors} narrowed={narrowed} />
      </span>
      <span class="number">{formatCount(trace.spans)}</span>
      <span class="number result-errors">{trace.errors > 0 ? formatCount(trace.errors) : <span class="faint">–</span>}</span>
      <span class="result-duration">
        <span>{formatDuration(trace.duration)}</span>
        <span class="meter"><span style={{ width: `${share * 100}%` }} /></span>
      </span>
    </Link>
  );
}

type ServicesProps = Pick<ResultProps, 'trace' | 'colors' | 'narrowed'>;

function Services({ trace, colors, narrowed }: ServicesProps) {
  const shown = trace.services.slice(0, MOST_CHIPS);
  const more = trace.services.length - shown.length;
  return (
    <span class="result-services">
      {narrowed && trace.matched.length > 0 && (
        <span class="badge badge-match">{trace.matched.length >= 20 ? '20+' : trace.matched.length} matched</span>
      )}
      {trace.orphans > 0 && <span class="badge badge-warning" title="Spans whose parent has not arrived">{countOf(trace.orphans, 'orphan')}</span>}
      {shown.map((service) => (
        <ServiceChip key={service.name} name={service.name} color={colors.of(service.name)} count={formatCount(service.spans)} error={service.errors > 0} />
      ))}
      {more > 0 && <span class="chip chip-more">+{more}</span>}
    </span>
  );
}
