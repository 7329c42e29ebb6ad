/** Which rows are shown while parts of the tree are collapsed. */
import { at, lastAtMost } from './column';
import { NO_PARENT, type Trace } from './trace';

type Tree = Pick<Trace, 'rows' | 'parent' | 'subtreeEnd' | 'depth'>;

/** One byte per row, 1 where its children are hidden. */
export type Collapsed = Uint8Array;

export function noneCollapsed(tree: Tree): Collapsed {
  return new Uint8Array(tree.rows);
}

export function allCollapsed(tree: Tree): Collapsed {
  const collapsed = new Uint8Array(tree.rows);
  for (let row = 0; row < tree.rows; row++) if (at(tree.subtreeEnd, row) > row + 1) collapsed[row] = 1;
  return collapsed;
}

/** The shown rows, ascending. */
export function visibleRows(tree: Tree, collapsed: Collapsed): Uint32Array {
  const visible = new Uint32Array(tree.rows);
  let count = 0;
  for (let row = 0; row < tree.rows; ) {
    visible[count++] = row;
    row = at(collapsed, row) === 1 ? at(tree.subtreeEnd, row) : row + 1;
  }
  return visible.subarray(0, count);
}

/** The place of `row` among the shown rows, or of the ancestor that hides it. */
export function placeOf(visible: Uint32Array, row: number): number {
  return lastAtMost(visible, row);
}

export function toggled(collapsed: Collapsed, row: number): Collapsed {
  const next = collapsed.slice();
  next[row] = at(collapsed, row) === 1 ? 0 : 1;
  return next;
}

/** Opens every ancestor of `row`; the same array when nothing hides it. */
export function revealing(tree: Tree, collapsed: Collapsed, row: number): Collapsed {
  let next = collapsed;
  for (let parent = at(tree.parent, row); parent !== NO_PARENT; parent = at(tree.parent, parent)) {
    if (at(next, parent) === 0) continue;
    if (next === collapsed) next = collapsed.slice();
    next[parent] = 0;
  }
  return next;
}

/** Collapses the deepest level that still shows children. */
export function oneLevelLess(tree: Tree, collapsed: Collapsed): Collapsed {
  let deepest = -1;
  eachShownParent(tree, collapsed, (row) => {
    if (at(collapsed, row) === 0) deepest = Math.max(deepest, at(tree.depth, row));
  });
  return withLevel(tree, collapsed, deepest, 1);
}

/** Opens the shallowest level that hides children. */
export function oneLevelMore(tree: Tree, collapsed: Collapsed): Collapsed {
  let shallowest = -1;
  eachShownParent(tree, collapsed, (row) => {
    const depth = at(tree.depth, row);
    if (at(collapsed, row) === 1 && (shallowest < 0 || depth < shallowest)) shallowest = depth;
  });
  return withLevel(tree, collapsed, shallowest, 0);
}

function withLevel(tree: Tree, collapsed: Collapsed, depth: number, value: 0 | 1): Collapsed {
  if (depth < 0) return collapsed;
  const next = collapsed.slice();
  eachShownParent(tree, collapsed, (row) => {
    if (at(tree.depth, row) === depth) next[row] = value;
  });
  return next;
}

function eachShownParent(tree: Tree, collapsed: Collapsed, visit: (row: number) => void): void {
  for (let row = 0; row < tree.rows; ) {
    const end = at(tree.subtreeEnd, row);
    if (end > row + 1) visit(row);
    row = at(collapsed, row) === 1 ? end : row + 1;
  }
}
