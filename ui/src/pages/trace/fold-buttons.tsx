/** Buttons for what the fold keys do, and the way back from a zoom. */
import { isWhole, wholeWindow } from '../../model/time-window';
import { allCollapsed, noneCollapsed } from '../../model/visible-rows';
import { Icon } from '../../parts/icon';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';

export function FoldButtons({ view }: { readonly view: TraceView }) {
  const zoom = useLive(view.window);
  return (
    <div class="fold-buttons">
      <button type="button" class="icon-button" title="Collapse all (])" aria-label="Collapse all" onClick={() => view.setCollapsed(allCollapsed(view.trace))}>
        <Icon name="collapse" />
      </button>
      <button type="button" class="icon-button" title="Expand all ([)" aria-label="Expand all" onClick={() => view.setCollapsed(noneCollapsed(view.trace))}>
        <Icon name="expand" />
      </button>
      {!isWhole(zoom, view.trace.duration) && (
        <button type="button" class="text-button" title="Show the whole trace (0)" onClick={() => view.setWindow(wholeWindow(view.trace.duration))}>
          Reset zoom
        </button>
      )}
    </div>
  );
}
