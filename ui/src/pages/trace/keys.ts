/** What the keys of the trace page do. Jaeger's letters where it has them. */
import { at } from '../../model/column';
import { nextRow, previousRow } from '../../model/stepping';
import { panned, wholeWindow, zoomed } from '../../model/time-window';
import { hasChildren } from '../../model/trace';
import { allCollapsed, noneCollapsed, oneLevelLess, oneLevelMore, placeOf } from '../../model/visible-rows';
import type { KeyHandler } from '../../parts/page-keys';
import { parentRow, type TraceView } from '../../state/open-trace';
import { letterKeys, zone } from '../../state/preferences';
import { ROW_HEIGHT } from './geometry';
import { zoomTo } from './span-panel';

/** Shown by the help dialog, in groups. */
export const KEY_HELP: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  ['Walk', [
    ['↑ ↓', 'Previous, next row'],
    ['b f', 'The same, by letter'],
    ['← →', 'Collapse or go to the parent; expand or go to the first child'],
    ['Home End', 'First, last row'],
    ['w s', 'A screen up, down'],
    ['Enter', 'Open the span'],
    ['Escape', 'Close the span, then clear the find'],
  ]],
  ['Find', [
    ['/', 'Find in this trace'],
    ['n N', 'Next, previous match'],
    ['e E', 'Next, previous error'],
  ]],
  ['Fold', [
    ['] [', 'Collapse all, expand all'],
    ['p o', 'Collapse, expand one level'],
  ]],
  ['Time', [
    ['a d', 'Pan left, right (with Shift: further)'],
    ['+ −', 'Zoom in, out; or Ctrl and wheel'],
    ['z', 'Show only the open span’s time'],
    ['0', 'Show the whole trace'],
    ['t', 'Local time or UTC'],
  ]],
];

const PAN = 0.1;
const PAN_FAR = 0.5;
const ZOOM = 0.7;

type Action = (view: TraceView) => void;

const LETTERS: Record<string, Action> = {
  f: (view) => step(view, 1),
  b: (view) => step(view, -1),
  s: (view) => step(view, screen()),
  w: (view) => step(view, -screen()),
  e: (view) => view.walkTo(nextRow(view.errors, view.active.value)),
  E: (view) => view.walkTo(previousRow(view.errors, view.active.value)),
  n: (view) => view.walkTo(nextRow(view.matches.value.rows, view.active.value)),
  N: (view) => view.walkTo(previousRow(view.matches.value.rows, view.active.value)),
  ']': (view) => view.setCollapsed(allCollapsed(view.trace)),
  '[': (view) => view.setCollapsed(noneCollapsed(view.trace)),
  p: (view) => view.setCollapsed(oneLevelLess(view.trace, view.collapsed.value)),
  o: (view) => view.setCollapsed(oneLevelMore(view.trace, view.collapsed.value)),
  a: (view) => pan(view, -PAN),
  d: (view) => pan(view, PAN),
  A: (view) => pan(view, -PAN_FAR),
  D: (view) => pan(view, PAN_FAR),
  '+': (view) => zoom(view, ZOOM),
  '=': (view) => zoom(view, ZOOM),
  '-': (view) => zoom(view, 1 / ZOOM),
  '0': (view) => view.setWindow(wholeWindow(view.trace.duration)),
  z: (view) => zoomTo(view, view.active.value),
  t: () => zone.set(zone.value === 'utc' ? 'local' : 'utc'),
};

const TREE: Record<string, Action> = {
  ArrowDown: (view) => step(view, 1),
  ArrowUp: (view) => step(view, -1),
  ArrowLeft: foldOrLeave,
  ArrowRight: unfoldOrEnter,
  PageDown: (view) => step(view, screen()),
  PageUp: (view) => step(view, -screen()),
  Home: (view) => view.walkTo(0),
  End: (view) => view.walkTo(at(view.visible.value, view.visible.value.length - 1)),
};

export function keysOf(view: TraceView): KeyHandler {
  return (key, event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (key === 'Escape') return escape(view);
    if (key === '/') return focusFind();
    if (key === 'Enter') {
      if (target.closest('[role="row"]') === null) return false;
      view.select(view.active.value);
      return true;
    }
    // In the panel the arrows scroll its text.
    const walk = target.closest('.span-panel') === null ? TREE[key] : undefined;
    const action = walk ?? (letterKeys.value ? LETTERS[key] : undefined);
    action?.(view);
    return action !== undefined;
  };
}

function step(view: TraceView, by: number): void {
  const { value: visible } = view.visible;
  const place = placeOf(visible, view.active.value) + by;
  view.walkTo(at(visible, Math.min(Math.max(place, 0), visible.length - 1)));
}

function foldOrLeave(view: TraceView): void {
  const row = view.active.value;
  if (hasChildren(view.trace, row) && at(view.collapsed.value, row) === 0) {
    view.toggle(row);
    return;
  }
  view.walkTo(parentRow(view.trace, row));
}

function unfoldOrEnter(view: TraceView): void {
  const row = view.active.value;
  if (!hasChildren(view.trace, row)) return;
  if (at(view.collapsed.value, row) === 1) view.toggle(row);
  else view.walkTo(row + 1);
}

function pan(view: TraceView, share: number): void {
  view.setWindow(panned(view.window.value, share, view.trace.duration));
}

/** Around the active span's start when it is in sight, else around the middle. */
function zoom(view: TraceView, factor: number): void {
  const { from, to } = view.window.value;
  const start = at(view.trace.start, view.active.value);
  const anchor = start >= from && start <= to ? start : (from + to) / 2;
  view.setWindow(zoomed(view.window.value, factor, anchor, view.trace.duration));
}

function escape(view: TraceView): boolean {
  if (view.selected.value >= 0) view.select(-1);
  else if (view.matches.value.rows.length > 0 || view.matches.value.text !== '') void view.find('');
  else return false;
  return true;
}

function focusFind(): boolean {
  const input = document.getElementById('find');
  if (!(input instanceof HTMLInputElement)) return false;
  input.focus();
  input.select();
  return true;
}

/** Rows of one screen. */
function screen(): number {
  const height = document.querySelector('.waterfall-scroll')?.clientHeight ?? 10 * ROW_HEIGHT;
  return Math.max(1, Math.floor(height / ROW_HEIGHT) - 2);
}
