/** The strip at the top of every page: the way home, a way to any trace, the theme. */
import { useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icon';
import { Link } from './link';

interface Props {
  readonly theme: 'auto' | 'light' | 'dark';
  readonly onTheme: (theme: 'auto' | 'light' | 'dark') => void;
  readonly onHome: () => void;
  /** Undefined when the text can be no trace id. */
  readonly traceId: (text: string) => string | undefined;
  readonly onTrace: (id: string) => void;
  readonly onHelp: () => void;
}

const NEXT_THEME = { auto: 'light', light: 'dark', dark: 'auto' } as const;
const THEME_ICON: Record<Props['theme'], IconName> = { auto: 'auto', light: 'sun', dark: 'moon' };

export function TopBar({ theme, onTheme, onHome, traceId, onTrace, onHelp }: Props) {
  const next = NEXT_THEME[theme];
  return (
    <header class="top-bar">
      <Link href="/" class="brand" onFollow={onHome}>
        <Logo />
        tracelodge
      </Link>
      <Lookup traceId={traceId} onTrace={onTrace} />
      <button
        type="button"
        class="icon-button"
        title={`Theme: ${theme}`}
        aria-label={`Theme: ${theme}. Change to ${next}`}
        onClick={() => onTheme(next)}
      >
        <Icon name={THEME_ICON[theme]} />
      </button>
      <button type="button" class="icon-button" title="Keys (?)" aria-label="Keyboard help" onClick={onHelp}>
        <Icon name="help" />
      </button>
    </header>
  );
}

function Lookup({ traceId, onTrace }: Pick<Props, 'traceId' | 'onTrace'>) {
  const [wrong, setWrong] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const open = (): void => {
    const text = input.current?.value ?? '';
    const id = traceId(text);
    setWrong(id === undefined && text.trim() !== '');
    if (id === undefined || input.current === null) return;
    input.current.value = '';
    input.current.blur();
    onTrace(id);
  };
  return (
    <form
      class="lookup"
      onSubmit={(event) => {
        event.preventDefault();
        open();
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        aria-label="Open a trace by its id"
        placeholder="Open a trace by id"
        spellcheck={false}
        autocomplete="off"
        aria-invalid={wrong}
        title={wrong ? 'A trace id has 1 to 32 hexadecimal digits' : undefined}
        onInput={() => setWrong(false)}
      />
    </form>
  );
}

/** A roof over three spans. */
function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" width="20" height="20" aria-hidden="true">
      <path class="logo-roof" d="M4 15 16 5.5 28 15" />
      <path class="logo-spans" d="M8.5 19h13M12 23.4h11.5M15 27.8h5" />
    </svg>
  );
}
