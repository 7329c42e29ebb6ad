/** The help dialog. */
import { Dialog } from '../../parts/dialog';
import { useLive } from '../../state/live';
import { letterKeys } from '../../state/preferences';
import { KEY_HELP } from './keys';

const LIST_KEYS: readonly (readonly [string, string])[] = [
  ['j k', 'Next, previous trace'],
  ['Enter', 'Open the trace'],
  ['?', 'This help'],
];

export function KeyHelp({ onClose }: { readonly onClose: () => void }) {
  const letters = useLive(letterKeys);
  return (
    <Dialog title="Keys" onClose={onClose}>
      <div class="key-groups">
        <Group title="Traces" keys={LIST_KEYS} />
        {KEY_HELP.map(([title, keys]) => (
          <Group key={title} title={title} keys={keys} />
        ))}
      </div>
      <label class="check">
        <input type="checkbox" checked={letters} onChange={(event) => letterKeys.set(event.currentTarget.checked)} />
        Single-letter keys
      </label>
    </Dialog>
  );
}

function Group({ title, keys }: { readonly title: string; readonly keys: readonly (readonly [string, string])[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl>
        {keys.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              {key.split(' ').map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
