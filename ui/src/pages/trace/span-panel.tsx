/** Everything about the selected span, beside the waterfall. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { countOf, formatCount } from '../../format/count';
import { formatDuration, formatExactDuration, formatOffset } from '../../format/duration';
import { formatTime } from '../../format/time';
import { at } from '../../model/column';
import { attributesAsJson, type SpanDetail, type SpanLink } from '../../model/span-detail';
import { around } from '../../model/time-window';
import { descendants, hasFlag, kindOf, nameOf, RowFlag, serviceOf, shownName } from '../../model/trace';
import { CopyButton } from '../../parts/copy-button';
import { Dropped } from '../../parts/dropped';
import { FirstItems } from '../../parts/first-items';
import { Icon } from '../../parts/icon';
import { Link } from '../../parts/link';
import { Notice } from '../../parts/notice';
import { ServiceDot } from '../../parts/service-chip';
import { tracePath, traceAddress } from '../../route/route';
import { useLive } from '../../state/live';
import { go } from '../../state/location';
import { type Details, parentRow, type TraceView } from '../../state/open-trace';
import { zone } from '../../state/preferences';
import { AttributeTable, filtered } from './attribute-table';
import { EventList } from './event-list';

interface Props {
  readonly view: TraceView;
  readonly row: number;
}

export function SpanPanel({ view, row }: Props) {
  const { trace } = view;
  const details = useDetails(view, row);
  return (
    <aside class="span-panel" aria-label="Span">
      <header class="panel-head">
        <div class="panel-title">
          <span class="panel-service">
            <ServiceDot color={view.colors.of(serviceOf(trace, row))} />
            {serviceOf(trace, row)}
          </span>
          <h2>{nameOf(trace, row)}</h2>
        </div>
        <button type="button" class="icon-button" title="Show only this span’s time (z)" aria-label="Show only this span’s time" onClick={() => zoomTo(view, row)}>
          <Icon name="zoom" />
        </button>
        <CopyButton text={() => deepLink(view, row)} label="Copy a link to this span" />
        <button type="button" class="icon-button" title="Close (Escape)" aria-label="Close the span" onClick={() => view.select(-1)}>
          <Icon name="close" />
        </button>
      </header>
      <div class="panel-body">
        <Facts view={view} row={row} />
        <Loaded details={details} view={view} row={row} />
      </div>
    </aside>
  );
}

export function zoomTo(view: TraceView, row: number): void {
  const { start, length, duration } = view.trace;
  view.setWindow(around(at(start, row), at(length, row), duration));
}

function deepLink(view: TraceView, row: number): string {
  return window.location.origin + tracePath(traceAddress(view.trace.id, view.trace.ids.linkName(row)));
}

function useDetails(view: TraceView, row: number): Details {
  const [details, setDetails] = useState<{ readonly row: number; readonly details: Details }>();
  useEffect(() => {
    const control = new AbortController();
    void view.details(row, control.signal).then((loaded) => {
      if (!control.signal.aborted) setDetails({ row, details: loaded });
    });
    return () => control.abort();
  }, [view, row]);
  return details?.row === row ? details.details : { state: 'loading' };
}

/** Known from the skeleton, so there at once. */
function Facts({ view, row }: Props) {
  const { trace } = view;
  const shownZone = useLive(zone);
  const start = at(trace.start, row);
  const length = at(trace.length, row);
  const parent = parentRow(trace, row);
  const share = trace.duration > 0 ? (100 * length) / trace.duration : 100;
  return (
    <dl class="facts">
      <dt>Duration</dt>
      <dd title={formatExactDuration(length)}>
        {formatDuration(length)} <span class="faint">{share < 0.1 ? '< 0.1' : share.toFixed(1)} % of the trace</span>
      </dd>
      <dt>Self time</dt>
      <dd title={formatExactDuration(at(trace.self, row))}>{formatDuration(at(trace.self, row))}</dd>
      <dt>Starts at</dt>
      <dd title={formatExactDuration(start)}>
        {formatOffset(start)} <span class="faint">{formatTime(trace.base + BigInt(Math.round(start)), shownZone, 9)}</span>
      </dd>
      {kindOf(trace, row) !== '' && (
        <>
          <dt>Kind</dt>
          <dd>{kindOf(trace, row)}</dd>
        </>
      )}
      <dt>Span id</dt>
      <dd>
        <code>{trace.ids.hex(row)}</code>
        <CopyButton text={() => trace.ids.hex(row)} label="Copy the span id" />
        {hasFlag(trace, row, RowFlag.repeatedId) && <span class="badge badge-warning">not unique in this trace</span>}
      </dd>
      <dt>Parent</dt>
      <dd>
        {parent >= 0 ? (
          <button type="button" class="text-button" onClick={() => pick(view, parent)}>{nameOf(trace, parent)}</button>
        ) : hasFlag(trace, row, RowFlag.missingParent) ? (
          <span class="warning-text">not in this trace</span>
        ) : (
          <span class="faint">none, a root</span>
        )}
      </dd>
      {descendants(trace, row) > 0 && (
        <>
          <dt>Below it</dt>
          <dd>{countOf(descendants(trace, row), 'span')}</dd>
        </>
      )}
    </dl>
  );
}

function pick(view: TraceView, row: number): void {
  view.reveal(row);
  view.select(row);
}

interface LoadedProps extends Props {
  readonly details: Details;
}

function Loaded({ details, view, row }: LoadedProps) {
  const [filter, setFilter] = useState('');
  if (details.state === 'loading') return <div class="panel-loading" aria-busy="true" />;
  if (details.state === 'failed') {
    return (
      <Notice icon="error" tone="error" title={details.failure.title}>
        <p>{details.failure.detail}</p>
      </Notice>
    );
  }
  const span = oneOf(details.spans, view, row);
  if (span === undefined) return <Notice icon="search" title="The server did not send this span" />;
  return (
    <>
      {(span.status.code === 'error' || span.status.message !== '') && (
        <p class="status" data-code={span.status.code}>
          <Icon name={span.status.code === 'error' ? 'error' : 'check'} />
          <span>{span.status.message === '' ? `Status: ${span.status.code}` : span.status.message}</span>
        </p>
      )}
      {span.warnings.map((warning, index) => (
        <p key={index} class="status" data-code="warning">
          <Icon name="warning" />
          <span>{warning}</span>
        </p>
      ))}
      <div class="panel-filter">
        <Icon name="search" />
        <input
          type="text"
          aria-label="Filter the attributes"
          placeholder="Filter attributes"
          spellcheck={false}
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return;
            event.stopPropagation();
            if (filter === '') event.currentTarget.blur();
            setFilter('');
          }}
        />
      </div>
      <Sections span={span} filter={filter} view={view} />
    </>
  );
}

/** Several spans may share an id; the start and the name tell them apart. */
function oneOf(spans: readonly SpanDetail[], view: TraceView, row: number): SpanDetail | undefined {
  const start = view.trace.base + BigInt(Math.round(at(view.trace.start, row)));
  const name = nameOf(view.trace, row);
  const same = spans.find((span) => span.start === start && shownName(span.name) === name);
  return same ?? (spans.length === 1 ? spans[0] : undefined);
}

interface SectionsProps {
  readonly span: SpanDetail;
  readonly filter: string;
  readonly view: TraceView;
}

function Sections({ span, filter, view }: SectionsProps) {
  const { dropped, resource, scope } = span;
  const scopeName = [scope.name, scope.version].filter((part) => part !== '').join(' ');
  return (
    <>
      <Section title="Attributes" count={filtered(span.attributes, filter).length} copy={() => attributesAsJson(span.attributes)} dropped={dropped.attributes}>
        <AttributeTable attributes={span.attributes} filter={filter} />
      </Section>
      {(span.events.length > 0 || dropped.events > 0) && (
        <Section title="Events" count={span.events.length} dropped={dropped.events}>
          <EventList events={span.events} spanStart={span.start} filter={filter} />
        </Section>
      )}
      {(span.links.length > 0 || dropped.links > 0) && (
        <Section title="Links" count={span.links.length} dropped={dropped.links}>
          <Links span={span} view={view} filter={filter} />
        </Section>
      )}
      <Section title="Resource" count={filtered(resource.attributes, filter).length} copy={() => attributesAsJson(resource.attributes)}>
        <AttributeTable attributes={resource.attributes} filter={filter} />
      </Section>
      {(scopeName !== '' || scope.attributes.length > 0) && (
        <Section title="Scope" count={filtered(scope.attributes, filter).length}>
          <p class="scope-name">{scopeName}</p>
          {scope.attributes.length > 0 && <AttributeTable attributes={scope.attributes} filter={filter} />}
        </Section>
      )}
      {span.traceState !== '' && (
        <Section title="Trace state">
          <p class="scope-name">{span.traceState}</p>
        </Section>
      )}
    </>
  );
}

interface SectionProps {
  readonly title: string;
  readonly count?: number;
  readonly dropped?: number;
  readonly copy?: () => string;
  readonly children: ComponentChildren;
}

function Section({ title, count, dropped = 0, copy, children }: SectionProps) {
  return (
    <details class="section" open>
      <summary>
        <Icon name="chevron" />
        <h3>{title}</h3>
        {count !== undefined && count > 0 && <span class="section-count">{formatCount(count)}</span>}
        <Dropped count={dropped} />
      </summary>
      {copy !== undefined && (
        <span class="section-copy">
          <CopyButton text={copy} label={`Copy ${title.toLowerCase()} as JSON`} />
        </span>
      )}
      {children}
    </details>
  );
}

function Links({ span, view, filter }: SectionsProps) {
  return (
    <FirstItems items={span.links}>
      {(shown) => (
        <ul class="links">
          {shown.map((link, index) => (
            <li key={index}>
              <LinkTo link={link} here={link.traceId === view.trace.id} />
              {link.attributes.length > 0 && <AttributeTable attributes={link.attributes} filter={filter} />}
            </li>
          ))}
        </ul>
      )}
    </FirstItems>
  );
}

function LinkTo({ link, here }: { readonly link: SpanLink; readonly here: boolean }) {
  const to = traceAddress(link.traceId, link.spanId);
  return (
    <Link href={tracePath(to)} onFollow={() => go({ page: 'trace', address: to })}>
      <Icon name="link" />
      <code>{here ? link.spanId : link.traceId}</code>
      <span class="faint">{here ? 'in this trace' : `span ${link.spanId}`}</span>
    </Link>
  );
}
