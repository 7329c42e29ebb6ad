/** Keys for a whole page. */
import { useEffect } from 'preact/hooks';

/** What a key does; true when the key is used up. */
export type KeyHandler = (key: string, event: KeyboardEvent) => boolean;

/** Listens while shown; never while somebody types. */
export function useKeys(handle: KeyHandler): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || document.querySelector('dialog[open]') !== null) return;
      if (handle(event.key, event)) event.preventDefault();
    };
    document.addEventListener('keydown', listen);
    return () => document.removeEventListener('keydown', listen);
  }, [handle]);
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  );
}
