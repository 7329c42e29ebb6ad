/** Copies a text and says that it did. */
import { useEffect, useState } from 'preact/hooks';
import { Icon, type IconName } from './icon';

const SAID_FOR = 1500;

interface Props {
  /** What is copied, made when it is asked for. */
  readonly text: () => string;
  /** What the button is called. */
  readonly label: string;
  /** Shows the label, not only the drawing. */
  readonly wide?: boolean;
}

type Said = '' | 'Copied' | 'Not allowed';
const ICONS: Record<Said, IconName> = { '': 'copy', Copied: 'check', 'Not allowed': 'error' };

export function CopyButton({ text, label, wide = false }: Props) {
  const [said, say] = useState<Said>('');
  useEffect(() => {
    if (said === '') return undefined;
    const timer = window.setTimeout(() => say(''), SAID_FOR);
    return () => window.clearTimeout(timer);
  }, [said]);
  const copy = (event: MouseEvent): void => {
    event.stopPropagation();
    void copyText(text()).then((done) => say(done ? 'Copied' : 'Not allowed'));
  };
  return (
    <>
      <button type="button" class={wide ? 'button copy' : 'icon-button copy'} title={label} aria-label={label} data-said={said} onClick={copy}>
        <Icon name={ICONS[said]} />
        {wide && <span>{said === '' ? label : said}</span>}
      </button>
      <span class="hidden" role="status">{said}</span>
    </>
  );
}

/** The clipboard API exists on secure origins only; a page on a LAN address needs the old way. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement;
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'hidden';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}
