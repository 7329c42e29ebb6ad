/** A text field that offers known values and takes any (ARIA combobox with a list). */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Icon } from './icon';

/** More than these nobody reads; typing narrows them. */
const MOST_OFFERED = 100;

interface Props {
  readonly label: string;
  readonly value: string;
  readonly placeholder: string;
  readonly options: readonly string[];
  readonly onFocus?: () => void;
  readonly onCommit: (value: string) => void;
}

/** The next place of a list that goes round; the first step enters it at its near end. */
export function stepped(from: number, step: 1 | -1, count: number): number {
  if (count === 0) return -1;
  if (from < 0) return step === 1 ? 0 : count - 1;
  return (from + step + count) % count;
}

export function Combobox({ label, value, placeholder, options, onFocus, onCommit }: Props) {
  const id = useId();
  const [draft, setDraft] = useState(value);
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState(false);
  const [marked, mark] = useState(-1);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => setDraft(value), [value]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [marked, open]);

  const wanted = typed ? draft.trim().toLowerCase() : '';
  const offered = options.filter((option) => option.toLowerCase().includes(wanted)).slice(0, MOST_OFFERED);
  const shows = open && offered.length > 0;

  const close = (): void => {
    setOpen(false);
    setTyped(false);
    mark(-1);
  };
  const commit = (text: string): void => {
    close();
    setDraft(text);
    if (text !== value) onCommit(text);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') {
      event.preventDefault();
      commit((marked >= 0 ? offered[marked] : undefined) ?? draft.trim());
    } else if (event.key === 'Escape') {
      if (open || draft !== value) event.stopPropagation();
      close();
      setDraft(value);
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setOpen(true);
      const step = event.key === 'ArrowDown' ? 1 : -1;
      mark(stepped(marked, step, offered.length));
    }
  };

  return (
    <div class="field combobox">
      <label for={id}>{label}</label>
      <div class="combobox-box">
        <input
          id={id}
          type="text"
          role="combobox"
          autocomplete="off"
          spellcheck={false}
          aria-expanded={shows}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={shows && marked >= 0 ? `${id}-${marked}` : undefined}
          placeholder={placeholder}
          value={draft}
          title={draft}
          onFocus={(event) => {
            event.currentTarget.select();
            onFocus?.();
          }}
          onClick={() => setOpen(true)}
          onInput={(event) => {
            setDraft(event.currentTarget.value);
            setTyped(true);
            setOpen(true);
            mark(-1);
          }}
          onBlur={() => commit(draft.trim())}
          onKeyDown={onKeyDown}
        />
        {value === '' ? (
          <span class="combobox-sign"><Icon name="down" /></span>
        ) : (
          <button type="button" class="icon-button combobox-sign" aria-label={`Clear ${label.toLowerCase()}`} onClick={() => commit('')}>
            <Icon name="close" />
          </button>
        )}
      </div>
      {shows && (
        <ul class="options" id={`${id}-list`} role="listbox" ref={list} aria-label={label}>
          {offered.map((option, index) => (
            <li
              key={option}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === marked}
              data-current={option === value}
              // The field keeps the focus, so that leaving it does not commit half a word first.
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => commit(option)}
            >
              {option}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
