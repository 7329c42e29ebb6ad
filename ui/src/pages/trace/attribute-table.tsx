/** Attributes as they came; structures laid out, long values folded, each to copy. */
import { useState } from 'preact/hooks';
import { indentedJson } from '../../format/json-text';
import type { Attribute } from '../../model/span-detail';
import { CopyButton } from '../../parts/copy-button';
import { FirstItems } from '../../parts/first-items';

interface Props {
  readonly attributes: readonly Attribute[];
  /** Shows those whose key or value holds this text. */
  readonly filter: string;
}

const LONG = 600;
/** Nobody names anything longer on purpose; “Copy attributes” has it whole. */
const LONG_KEY = 200;

export function AttributeTable({ attributes, filter }: Props) {
  const shown = filtered(attributes, filter);
  if (shown.length === 0) return <p class="faint">{attributes.length === 0 ? 'None' : 'None with this text'}</p>;
  return (
    <FirstItems items={shown}>
      {(first) => (
        <dl class="attributes">
          {first.map((attribute, index) => (
            // A key may come twice; both are shown.
            <Row key={`${index} ${attribute.key}`} attribute={attribute} />
          ))}
        </dl>
      )}
    </FirstItems>
  );
}

function Row({ attribute }: { readonly attribute: Attribute }) {
  const { key, type, value } = attribute;
  const name = key.length > LONG_KEY ? `${key.slice(0, LONG_KEY)}…` : key;
  return (
    <div class="attribute">
      <dt>{breakable(name)}</dt>
      <dd data-type={type}>
        <Value attribute={attribute} />
        <CopyButton text={() => value} label={`Copy the value of ${name}`} />
      </dd>
    </div>
  );
}

/** Long keys break after their dots and underscores, not inside words. */
function breakable(key: string) {
  return key.split(/(?<=[._/-])/).map((part, index) => (
    <>
      {index > 0 && <wbr />}
      {part}
    </>
  ));
}

export function filtered(attributes: readonly Attribute[], filter: string): readonly Attribute[] {
  const wanted = filter.trim().toLowerCase();
  if (wanted === '') return attributes;
  return attributes.filter(({ key, value }) => key.toLowerCase().includes(wanted) || value.toLowerCase().includes(wanted));
}

function Value({ attribute: { type, value } }: { readonly attribute: Attribute }) {
  const [whole, showWhole] = useState(false);
  if (type === 'empty' || value === '') return <span class="faint">{type === 'empty' ? 'empty' : 'empty text'}</span>;
  const json = type === 'string' || type === 'array' || type === 'map' ? indentedJson(value) : undefined;
  const text = json ?? value;
  const folded = text.length > LONG && !whole;
  const shown = folded ? `${text.slice(0, LONG)}…` : text;
  return (
    <>
      {json !== undefined || text.includes('\n') ? <pre>{shown}</pre> : <span class="value">{shown}</span>}
      {folded && (
        <button type="button" class="text-button" onClick={() => showWhole(true)}>
          Show all {text.length.toLocaleString('en-US')} characters
        </button>
      )}
    </>
  );
}
