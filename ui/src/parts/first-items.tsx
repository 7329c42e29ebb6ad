/** The beginning of a list that may be endless, and a button for the rest. */
import { type ComponentChildren, Fragment } from 'preact';
import { useState } from 'preact/hooks';
import { formatCount } from '../format/count';

/** More than these nobody reads, and a browser takes long to lay out. */
const FIRST = 100;

interface Props<Item> {
  readonly items: readonly Item[];
  readonly children: (shown: readonly Item[]) => ComponentChildren;
}

export function FirstItems<Item>({ items, children }: Props<Item>) {
  const [all, showAll] = useState(false);
  const folded = items.length > FIRST && !all;
  return (
    <Fragment>
      {children(folded ? items.slice(0, FIRST) : items)}
      {folded && (
        <button type="button" class="text-button" onClick={() => showAll(true)}>
          Show all {formatCount(items.length)}
        </button>
      )}
    </Fragment>
  );
}
