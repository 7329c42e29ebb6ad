/** A strip below the top bar: what the server would have a person know, until it is closed. */
import { Icon } from './icon';

interface Props {
  /** Sentences without their full stop. */
  readonly told: readonly { readonly key: string; readonly text: string }[];
  readonly onClose: () => void;
}

export function ServerNotices({ told, onClose }: Props) {
  if (told.length === 0) return null;
  return (
    <aside class="server-notices" aria-label="Notices of the server">
      <Icon name="warning" />
      <ul>
        {told.map(({ key, text }) => (
          <li key={key}>{text}.</li>
        ))}
      </ul>
      <button type="button" class="icon-button" title="Close" aria-label="Close the notices" onClick={onClose}>
        <Icon name="close" />
      </button>
    </aside>
  );
}
