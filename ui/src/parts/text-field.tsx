/** A text field that tells when its text is final: Enter, or leaving it. */
import { useEffect, useId, useState } from 'preact/hooks';

interface Props {
  readonly label: string;
  readonly value: string;
  readonly placeholder: string;
  /** Makes the text what the server reads. */
  readonly tidy: (text: string) => string;
  readonly valid: (text: string) => boolean;
  readonly complaint: string;
  readonly onCommit: (value: string) => void;
}

export function TextField({ label, value, placeholder, tidy, valid, complaint, onCommit }: Props) {
  const id = useId();
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  const tidied = tidy(draft);
  const wrong = tidied !== '' && !valid(tidied);
  const commit = (): void => {
    if (wrong) return;
    setDraft(tidied);
    if (tidied !== value) onCommit(tidied);
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        value={draft}
        aria-invalid={wrong}
        aria-describedby={wrong ? `${id}-complaint` : undefined}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onBlur={commit}
        onKeyDown={(event) => {
          if (event.key === 'Enter') commit();
          if (event.key === 'Escape') setDraft(value);
        }}
      />
      {wrong && <span class="complaint" id={`${id}-complaint`}>{complaint}</span>}
    </div>
  );
}
