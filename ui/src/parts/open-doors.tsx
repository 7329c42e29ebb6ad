/** A strip below the top bar: which doors stand open to others, until it is closed. */
import { Icon } from './icon';

interface Props {
  /** A sentence each, without its full stop. */
  readonly told: readonly string[];
  readonly onClose: () => void;
}

export function OpenDoors({ told, onClose }: Props) {
  if (told.length === 0) return null;
  return (
    <aside class="open-doors" aria-label="Open doors">
      <Icon name="warning" />
      <ul>
        {told.map((sentence) => (
          <li key={sentence}>{sentence}.</li>
        ))}
      </ul>
      <button type="button" class="icon-button" title="Close" aria-label="Close what is said of open doors" onClick={onClose}>
        <Icon name="close" />
      </button>
    </aside>
  );
}
