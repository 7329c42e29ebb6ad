/** A badge for what a sender left out to keep its own limits. */
import { formatCount } from '../format/count';

export function Dropped({ count }: { readonly count: number }) {
  if (count === 0) return null;
  return <span class="badge badge-warning" title="The sender dropped them before sending">{formatCount(count)} dropped</span>;
}
