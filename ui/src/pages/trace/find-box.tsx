/** Find in this trace: every name, attribute and event of every span. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatCount } from '../../format/count';
import { nextRow, placeAmong, previousRow } from '../../model/stepping';
import { Icon } from '../../parts/icon';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';

const TYPING_PAUSE = 250;

export function FindBox({ view }: { readonly view: TraceView }) {
  const matches = useLive(view.matches);
  const finding = useLive(view.finding);
  const active = useLive(view.active);
  const [draft, setDraft] = useState(matches.text);
  const asked = useRef(matches.text);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => {
    // The answer to this box itself must not undo what was typed meanwhile.
    if (matches.text !== asked.current) setDraft(matches.text);
    asked.current = matches.text;
  }, [matches]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const find = async (text: string): Promise<boolean> => {
    window.clearTimeout(timer.current);
    asked.current = text;
    return view.find(text);
  };
  const type = (text: string): void => {
    setDraft(text);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void find(text.trim()), TYPING_PAUSE);
  };
  const enter = async (text: string, way: 1 | -1): Promise<void> => {
    if (text === matches.text && matches.failure === undefined) step(way);
    else if (await find(text)) jumpToFirst(view);
  };
  const step = (way: 1 | -1): void => {
    const row = way === 1 ? nextRow(matches.rows, active) : previousRow(matches.rows, active);
    view.walkTo(row);
  };
  return (
    <div class="find" role="search">
      <Icon name="search" />
      <input
        id="find"
        type="text"
        aria-label="Find in this trace"
        placeholder="Find in this trace"
        spellcheck={false}
        autocomplete="off"
        value={draft}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') {
            event.preventDefault();
            void enter(draft.trim(), event.shiftKey ? -1 : 1);
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            if (draft === '') event.currentTarget.blur();
            setDraft('');
            void find('');
          }
        }}
      />
      <span class="find-count" role="status" data-failed={matches.failure !== undefined} title={matches.failure?.detail}>
        {finding ? '…' : told(matches.text, placeAmong(matches.rows, active), matches.total, matches.failure !== undefined)}
      </span>
      <button type="button" class="icon-button" aria-label="Previous match" title="Previous match (Shift+Enter)" disabled={matches.rows.length === 0} onClick={() => step(-1)}>
        <Icon name="up" />
      </button>
      <button type="button" class="icon-button" aria-label="Next match" title="Next match (Enter)" disabled={matches.rows.length === 0} onClick={() => step(1)}>
        <Icon name="down" />
      </button>
    </div>
  );
}

function jumpToFirst(view: TraceView): void {
  view.walkTo(nextRow(view.matches.value.rows, view.active.value - 1));
}

function told(text: string, place: number, total: number, failed: boolean): string {
  if (text === '' && total === 0) return '';
  if (failed) return 'failed';
  if (total === 0) return 'none';
  return place < 0 ? formatCount(total) : `${formatCount(place + 1)} of ${formatCount(total)}`;
}
