/** Free `key=value` conditions as chips. */
import { useId, useRef, useState } from 'preact/hooks';
import { Icon } from '../../parts/icon';

interface Props {
  readonly conditions: readonly string[];
  readonly onChange: (conditions: readonly string[]) => void;
}

export function Conditions({ conditions, onChange }: Props) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [draft, setDraft] = useState('');
  const condition = tidyCondition(draft);
  const add = (): void => {
    if (condition === undefined) return;
    setDraft('');
    if (!conditions.includes(condition)) onChange([...conditions, condition]);
  };
  const wrong = draft.trim() !== '' && condition === undefined;
  return (
    <div class="field conditions">
      <label for={id}>Attributes</label>
      <div class="chips-box" onClick={() => input.current?.focus()}>
        {conditions.map((shown) => (
          <span class="condition" key={shown} title={shown}>
            <span>{shown}</span>
            <button
              type="button"
              aria-label={`Remove ${shown}`}
              onClick={() => onChange(conditions.filter((other) => other !== shown))}
            >
              <Icon name="close" />
            </button>
          </span>
        ))}
        <input
          id={id}
          ref={input}
          type="text"
          spellcheck={false}
          autocomplete="off"
          placeholder={conditions.length === 0 ? 'key=value, e.g. error=true' : ''}
          value={draft}
          aria-invalid={wrong}
          aria-describedby={wrong ? `${id}-complaint` : undefined}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onBlur={add}
          onKeyDown={(event) => {
            if (event.key === 'Enter') add();
            if (event.key === 'Backspace' && draft === '' && conditions.length > 0) onChange(conditions.slice(0, -1));
            if (event.key === 'Escape') setDraft('');
          }}
        />
      </div>
      {wrong && <span class="complaint" id={`${id}-complaint`}>Write key=value, then Enter</span>}
    </div>
  );
}

/** `key=value` without blanks around it or quotes around the value; undefined when it is not one. */
function tidyCondition(text: string): string | undefined {
  const [, key, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(text) ?? [];
  if (key === undefined || value === undefined || value === '') return undefined;
  return `${key}=${value.replace(/^"(.*)"$/, '$1')}`;
}
