/** One trace: header, overview, waterfall, and the selected span beside it. */
import { useEffect, useMemo } from 'preact/hooks';
import { nameOf, serviceOf } from '../../model/trace';
import { ANYTHING } from '../../model/search-query';
import { useKeys } from '../../parts/page-keys';
import { Link } from '../../parts/link';
import { Notice } from '../../parts/notice';
import { Splitter } from '../../parts/splitter';
import type { TraceAddress } from '../../route/route';
import type { Failure } from '../../state/failure';
import { useLive } from '../../state/live';
import { go } from '../../state/location';
import { closeTrace, openTrace, showTrace, type TraceView } from '../../state/open-trace';
import { panelWidth } from '../../state/preferences';
import { keysOf } from './keys';
import { Overview } from './overview';
import { SpanPanel } from './span-panel';
import { TraceHeader } from './trace-header';
import { Waterfall } from './waterfall';

export function TracePage({ address }: { readonly address: TraceAddress }) {
  const loading = useLive(openTrace);
  // For a moment it may still be about the trace before.
  const current = loading.id === address.id ? loading : undefined;
  useEffect(() => void showTrace(address), [address]);
  useEffect(() => closeTrace, []);
  useEffect(() => {
    if (current?.state !== 'ready') document.title = `${address.id} – tracelodge`;
  }, [address.id, current?.state]);
  if (current?.state === 'ready') return <OpenTrace key={current.id} view={current.view} />;
  return (
    <main class="trace-page" aria-busy={current?.state !== 'failed'}>
      {current?.state !== 'failed' && <p class="loading">Loading…</p>}
      {current?.state === 'failed' && <NotShown id={address.id} failure={current.failure} />}
    </main>
  );
}

function OpenTrace({ view }: { readonly view: TraceView }) {
  const selected = useLive(view.selected);
  const width = useLive(panelWidth);
  useKeys(useMemo(() => keysOf(view), [view]));
  useEffect(() => {
    const { trace, summary } = view;
    document.title = `${serviceOf(trace, summary.root)} ${nameOf(trace, summary.root)} – tracelodge`;
    if (view.selected.value < 0) view.reveal(view.active.value);
  }, [view]);
  return (
    <main class="trace-page">
      <TraceHeader view={view} />
      <Overview view={view} />
      <div class="trace-body" data-panel={selected >= 0} style={{ '--panel-width': `${width}px` }}>
        <Waterfall view={view} />
        {selected >= 0 && (
          <>
            <Splitter label="Width of the span’s panel" value={width} low={300} high={900} step={20} perPixel={-1} onMove={(next) => panelWidth.set(next)} />
            <SpanPanel view={view} row={selected} />
          </>
        )}
      </div>
    </main>
  );
}

function NotShown({ id, failure }: { readonly id: string; readonly failure: Failure }) {
  const missing = failure.status === 404;
  const home = { page: 'search', query: ANYTHING } as const;
  return (
    <Notice icon={missing ? 'search' : 'error'} tone={missing ? 'plain' : 'error'} title={missing ? 'There is no such trace' : failure.title}>
      <p>
        {missing ? 'Looked for the trace id ' : 'Asked for '}
        <code class="wrap">{id}</code>
      </p>
      {missing ? (
        <p>It may not have arrived yet, its time may be over, or it was sampled away by the program that made it.</p>
      ) : (
        <p>{failure.detail}</p>
      )}
      <div class="notice-actions">
        <button type="button" class="button" onClick={() => window.location.reload()}>Look again</button>
        <Link class="button" href="/" onFollow={() => go(home)}>Recent traces</Link>
      </div>
    </Notice>
  );
}
