/** The trace that is open: its columns, what is collapsed, shown, selected and found. */
import { isAbort } from '../api/request';
import { skeleton } from '../api/skeleton';
import { findSpans, spanDetails } from '../api/span-details';
import { ServiceColors } from '../model/service-color';
import { type SpanDetail, weightOf } from '../model/span-detail';
import { NO_PARENT, RowFlag, rowsWithFlag, type Trace } from '../model/trace';
import { at } from '../model/column';
import { summarize, type TraceSummary } from '../model/trace-summary';
import { type TimeWindow, wholeWindow, within, isWhole } from '../model/time-window';
import { type Collapsed, noneCollapsed, placeOf, revealing, toggled, visibleRows } from '../model/visible-rows';
import { type TraceAddress, tracePath, wholeTraceId } from '../route/route';
import { type Failure, failureOf } from './failure';
import { Live } from './live';
import { amend, route } from './location';
import { matchedIn } from './search-answers';

/** What has become of the trace that was asked for last; `id` says which. */
export type Loading =
  | { readonly id: string; readonly state: 'loading' }
  | { readonly id: string; readonly state: 'failed'; readonly failure: Failure }
  | { readonly id: string; readonly state: 'ready'; readonly view: TraceView };

/** Matches of the find box; of the search that led here while its text is empty. */
export interface Matches {
  readonly text: string;
  readonly rows: Uint32Array;
  /** May be more than `rows`: the server's list ends at 10,000. */
  readonly total: number;
  readonly failure: Failure | undefined;
}

const NO_MATCHES: Matches = { text: '', rows: new Uint32Array(0), total: 0, failure: undefined };

export type Details =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly failure: Failure }
  | { readonly state: 'ready'; readonly spans: readonly SpanDetail[] };

/** Characters of details that are kept for coming back to a span. */
const MOST_KEPT = 8_000_000;

/** How long the address bar waits while zooming and walking: browsers limit how often it may change. */
const ADDRESS_DELAY = 200;

export class TraceView {
  readonly trace: Trace;
  readonly summary: TraceSummary;
  readonly errors: Uint32Array;
  readonly colors: ServiceColors;
  readonly collapsed: Live<Collapsed>;
  readonly visible: Live<Uint32Array>;
  readonly window: Live<TimeWindow>;
  /** The row with the keyboard. */
  readonly active = new Live(0);
  /** Asks the waterfall to bring a row into view. */
  readonly wanted = new Live<{ readonly row: number }>({ row: -1 });
  /** The row whose detail is open, −1 when none is. */
  readonly selected = new Live(-1);
  readonly matches = new Live<Matches>(NO_MATCHES);
  readonly finding = new Live(false);
  readonly #details = new Map<string, readonly SpanDetail[]>();
  #detailsWeight = 0;
  #find: AbortController | undefined;
  #addressTimer: number | undefined;

  /** `matched` are the ids of the spans that a search found. */
  constructor(trace: Trace, address: TraceAddress, matched: readonly string[] = []) {
    this.trace = trace;
    this.summary = summarize(trace);
    this.errors = rowsWithFlag(trace, RowFlag.error);
    this.colors = new ServiceColors(this.summary.services.map(({ name }) => name));
    const collapsed = noneCollapsed(trace);
    this.collapsed = new Live<Collapsed>(collapsed);
    this.visible = new Live(visibleRows(trace, collapsed));
    this.window = new Live(zoomOf(address, trace.duration));
    if (address.find === '' && matched.length > 0) this.#showMatched(matched);
    this.follow(address);
  }

  #showMatched(matched: readonly string[]): void {
    const rows = this.trace.ids.rowsOfAll(matched);
    this.matches.set({ ...NO_MATCHES, rows, total: rows.length });
    this.active.set(at(rows, 0));
  }

  /** Shows what the address says: on opening, and when back or forward changed it. */
  follow(address: TraceAddress): void {
    window.clearTimeout(this.#addressTimer);
    this.window.set(zoomOf(address, this.trace.duration));
    const row = this.trace.ids.rowOfLink(address.span);
    if (row !== this.selected.value) {
      this.selected.set(row);
      if (row >= 0) this.reveal(row);
    }
    if (address.find !== this.matches.value.text) void this.find(address.find);
  }

  setCollapsed(collapsed: Collapsed): void {
    if (collapsed === this.collapsed.value) return;
    this.collapsed.set(collapsed);
    this.visible.set(visibleRows(this.trace, collapsed));
    // The keyboard moves to the ancestor that now hides its row.
    const place = placeOf(this.visible.value, this.active.value);
    const row = at(this.visible.value, Math.max(place, 0));
    if (row === this.active.value) return;
    this.active.set(row);
    this.wanted.set({ row });
  }

  /** Folds or unfolds the row, and gives it the keyboard. */
  toggle(row: number): void {
    this.active.set(row);
    this.setCollapsed(toggled(this.collapsed.value, row));
  }

  setWindow(zoom: TimeWindow): void {
    this.window.set(zoom);
    this.#writeAddress();
  }

  /** Makes the row visible and gives it the keyboard. */
  reveal(row: number): void {
    this.setCollapsed(revealing(this.trace, this.collapsed.value, row));
    this.active.set(row);
    this.wanted.set({ row });
  }

  /** Goes to the row, with the panel when it is open; nowhere for −1. */
  walkTo(row: number): void {
    if (row < 0) return;
    this.reveal(row);
    if (this.selected.value >= 0) this.select(row);
  }

  select(row: number): void {
    const walking = this.selected.value >= 0 && row >= 0;
    this.selected.set(row);
    if (row >= 0) this.active.set(row);
    // The focus may have been in the panel.
    else this.wanted.set({ row: this.active.value });
    this.#writeAddress(walking ? ADDRESS_DELAY : 0);
  }

  /** Whether an answer came, and was not overtaken by a later find. */
  async find(text: string): Promise<boolean> {
    this.#find?.abort();
    if (text === '') {
      this.finding.set(false);
      this.matches.set(NO_MATCHES);
      this.#writeAddress(0);
      return true;
    }
    const control = new AbortController();
    this.#find = control;
    this.finding.set(true);
    try {
      const found = await findSpans(this.trace.id, text, control.signal);
      const rows = this.trace.ids.rowsOfAll(found.spans);
      this.matches.set({ text, rows, total: Math.max(found.total, rows.length), failure: undefined });
    } catch (error) {
      if (isAbort(error)) return false;
      this.matches.set({ ...NO_MATCHES, text, failure: failureOf(error) });
    }
    this.finding.set(false);
    this.#writeAddress(0);
    return true;
  }

  /** The details of a span and of all that share its id, asked for once. */
  async details(row: number, signal: AbortSignal): Promise<Details> {
    const id = this.trace.ids.hex(row);
    const known = this.#details.get(id);
    if (known !== undefined) return { state: 'ready', spans: known };
    try {
      const spans = await spanDetails(this.trace.id, id, signal);
      this.#keep(id, spans);
      return { state: 'ready', spans };
    } catch (error) {
      return isAbort(error) ? { state: 'loading' } : { state: 'failed', failure: failureOf(error) };
    }
  }

  #keep(id: string, spans: readonly SpanDetail[]): void {
    if (this.#detailsWeight > MOST_KEPT) {
      this.#details.clear();
      this.#detailsWeight = 0;
    }
    this.#details.set(id, spans);
    for (const span of spans) this.#detailsWeight += weightOf(span);
  }

  address(): TraceAddress {
    const { trace, selected, matches } = this;
    const zoom = this.window.value;
    return {
      id: trace.id,
      span: selected.value < 0 ? '' : trace.ids.linkName(selected.value),
      find: matches.value.text,
      zoom: isWhole(zoom, trace.duration) ? undefined : zoom,
    };
  }

  close(): void {
    this.#find?.abort();
    window.clearTimeout(this.#addressTimer);
  }

  #writeAddress(delay = ADDRESS_DELAY): void {
    window.clearTimeout(this.#addressTimer);
    const write = (): void => {
      const now = route.value;
      if (now.page === 'trace' && now.address.id === this.trace.id) amend(tracePath(this.address()));
    };
    if (delay === 0) write();
    else this.#addressTimer = window.setTimeout(write, delay);
  }
}

function zoomOf({ zoom }: TraceAddress, duration: number): TimeWindow {
  return zoom === undefined ? wholeWindow(duration) : within(zoom.from, zoom.to, duration);
}

export const openTrace = new Live<Loading>({ id: '', state: 'loading' });

let loading: AbortController | undefined;

/** Opens the trace of the address, or moves within it when it is open already. */
export async function showTrace(address: TraceAddress): Promise<void> {
  const shown = openTrace.value;
  const { id } = address;
  if (shown.id === id && shown.state === 'ready') {
    shown.view.follow(address);
    return;
  }
  closeTrace();
  const control = new AbortController();
  loading = control;
  if (wholeTraceId(id) === undefined) {
    const detail = 'A trace id has 1 to 32 hexadecimal digits.';
    openTrace.set({ id, state: 'failed', failure: { status: 400, title: 'Not a trace id', detail } });
    return;
  }
  openTrace.set({ id, state: 'loading' });
  try {
    const trace = await skeleton(id, control.signal);
    openTrace.set({ id, state: 'ready', view: new TraceView(trace, address, matchedIn(trace.id)) });
  } catch (error) {
    if (!isAbort(error)) openTrace.set({ id, state: 'failed', failure: failureOf(error) });
  }
}

export function closeTrace(): void {
  loading?.abort();
  if (openTrace.value.state === 'ready') openTrace.value.view.close();
  openTrace.set({ id: '', state: 'loading' });
}

/** What `parent` says about a row, as a row number; −1 without one. */
export function parentRow(trace: Trace, row: number): number {
  const parent = at(trace.parent, row);
  return parent === NO_PARENT ? -1 : parent;
}
