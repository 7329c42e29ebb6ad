/** What a trace is: its root, when, how long, how much of what. */
import { countOf, formatCount } from '../../format/count';
import { formatDuration, formatExactDuration } from '../../format/duration';
import { formatTime, zoneName } from '../../format/time';
import { nameOf, serviceOf } from '../../model/trace';
import { CopyButton } from '../../parts/copy-button';
import { ServiceChip, ServiceDot } from '../../parts/service-chip';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';
import { zone } from '../../state/preferences';
import { FindBox } from './find-box';

const MOST_CHIPS = 7;

export function TraceHeader({ view }: { readonly view: TraceView }) {
  const { trace, summary } = view;
  const service = serviceOf(trace, summary.root);
  return (
    <header class="trace-header">
      <div class="trace-title">
        <h1>
          <ServiceDot color={view.colors.of(service)} />
          <span class="trace-service">{service}</span>
          <span class="trace-name">{nameOf(trace, summary.root)}</span>
        </h1>
        {!trace.complete && <Incomplete view={view} />}
        <FindBox view={view} />
      </div>
      <div class="trace-facts">
        <span class="fact fact-id">
          <code>{trace.id}</code>
          <CopyButton text={() => trace.id} label="Copy the trace id" />
        </span>
        <Start view={view} />
        <Fact name="Duration" value={formatDuration(trace.duration)} title={formatExactDuration(trace.duration)} />
        <Fact name="Spans" value={formatCount(trace.rows)} />
        <span class="fact" data-error={summary.errors > 0}>
          <b>Errors</b> {formatCount(summary.errors)}
        </span>
        <Fact name="Depth" value={formatCount(summary.depth)} />
        <Services view={view} />
      </div>
    </header>
  );
}

function Fact({ name, value, title }: { readonly name: string; readonly value: string; readonly title?: string }) {
  return (
    <span class="fact" title={title}>
      <b>{name}</b> {value}
    </span>
  );
}

/** A click changes between local time and UTC. */
function Start({ view }: { readonly view: TraceView }) {
  const shown = useLive(zone);
  const other = shown === 'utc' ? 'local' : 'utc';
  const { base } = view.trace;
  return (
    <button
      type="button"
      class="fact text-button"
      title={`${formatTime(base, shown, 9)}; change to ${other === 'utc' ? 'UTC' : 'local time'} (t)`}
      onClick={() => zone.set(other)}
    >
      <b>Start</b> {formatTime(base, shown, 3)} <span class="faint">{zoneName(base, shown)}</span>
    </button>
  );
}

function Incomplete({ view }: { readonly view: TraceView }) {
  const { roots, missingParents } = view.summary;
  if (view.trace.cut) {
    return (
      <span class="badge badge-warning" title="The server answers with the beginning of it only">
        too large: {countOf(view.trace.rows, 'span')} shown
      </span>
    );
  }
  const orphans = `incomplete: ${countOf(missingParents, 'span')} whose parent has not arrived`;
  return (
    <span class="badge badge-warning" title="Spans may still be on their way, or were never sent">
      {missingParents > 0 ? orphans : countOf(roots, 'root')}
    </span>
  );
}

function Services({ view }: { readonly view: TraceView }) {
  const { services } = view.summary;
  const shown = services.slice(0, MOST_CHIPS);
  return (
    <span class="trace-services">
      <b>{countOf(services.length, 'service')}</b>
      {shown.map(({ name, spans, errors }) => (
        <ServiceChip key={name} name={name} color={view.colors.of(name)} count={formatCount(spans)} error={errors > 0} />
      ))}
      {services.length > shown.length && (
        <span class="chip chip-more" title={services.slice(MOST_CHIPS).map(({ name }) => name).join(', ')}>
          +{services.length - shown.length}
        </span>
      )}
    </span>
  );
}
