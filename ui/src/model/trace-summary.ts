/** What a trace's header says, counted from its columns. */
import { at } from './column';
import { NO_PARENT, RowFlag, type Trace } from './trace';

export interface ServiceCount {
  readonly name: string;
  readonly spans: number;
  readonly errors: number;
}

export interface TraceSummary {
  /** The row that gives the trace its name: the first root, with a known parent or not. */
  readonly root: number;
  readonly errors: number;
  readonly depth: number;
  readonly roots: number;
  readonly missingParents: number;
  /** Most spans first. */
  readonly services: readonly ServiceCount[];
}

export function summarize(trace: Trace): TraceSummary {
  const spans = new Map<number, { spans: number; errors: number }>();
  let errors = 0;
  let depth = 0;
  let roots = 0;
  let missingParents = 0;
  let root = -1;
  for (let row = 0; row < trace.rows; row++) {
    const flags = at(trace.flags, row);
    const error = (flags & RowFlag.error) === 0 ? 0 : 1;
    const missing = (flags & RowFlag.missingParent) !== 0;
    errors += error;
    depth = Math.max(depth, at(trace.depth, row) + 1);
    if (missing) missingParents++;
    if (at(trace.parent, row) === NO_PARENT && !missing) {
      roots++;
      if (root < 0) root = row;
    }
    const service = at(trace.service, row);
    const count = spans.get(service);
    if (count === undefined) spans.set(service, { spans: 1, errors: error });
    else {
      count.spans++;
      count.errors += error;
    }
  }
  const services = [...spans]
    .map(([service, count]) => ({ name: trace.texts.text(service), ...count }))
    .sort((one, other) => other.spans - one.spans || (one.name < other.name ? -1 : 1));
  return { root: Math.max(root, 0), errors, depth, roots, missingParents, services };
}
