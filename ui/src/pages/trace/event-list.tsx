/** The events of a span in order of time; exceptions read like exceptions. */
import { formatExactDuration, formatOffset } from '../../format/duration';
import type { SpanEvent } from '../../model/span-detail';
import { shownName } from '../../model/trace';
import { CopyButton } from '../../parts/copy-button';
import { Dropped } from '../../parts/dropped';
import { FirstItems } from '../../parts/first-items';
import { AttributeTable } from './attribute-table';

interface Props {
  readonly events: readonly SpanEvent[];
  readonly spanStart: bigint;
  readonly filter: string;
}

export function EventList({ events, spanStart, filter }: Props) {
  const ordered = [...events].sort((one, other) => (one.time < other.time ? -1 : one.time > other.time ? 1 : 0));
  return (
    <FirstItems items={ordered}>
      {(shown) => (
        <ol class="events">
          {shown.map((event, index) => (
            <li key={index}>
              <header>
                <time title={formatExactDuration(Number(event.time - spanStart))}>
                  {formatOffset(Number(event.time - spanStart))}
                </time>
                <strong>{shownName(event.name)}</strong>
                <Dropped count={event.dropped} />
              </header>
              <EventBody event={event} filter={filter} />
            </li>
          ))}
        </ol>
      )}
    </FirstItems>
  );
}

/** Keys of OpenTelemetry's semantic conventions for exceptions. */
const EXCEPTION_KEYS = ['exception.type', 'exception.message', 'exception.stacktrace'] as const;

function EventBody({ event, filter }: { readonly event: SpanEvent; readonly filter: string }) {
  const [type, message, stack] = EXCEPTION_KEYS.map(
    (key) => event.attributes.find((attribute) => attribute.key === key)?.value ?? '',
  );
  const exception = event.name === 'exception' && (type !== '' || message !== '');
  const rest = exception
    ? event.attributes.filter(({ key }) => !EXCEPTION_KEYS.some((known) => known === key))
    : event.attributes;
  return (
    <>
      {exception && (
        <div class="exception">
          <p>
            {type !== '' && <b>{type}</b>}
            {type !== '' && message !== '' && ': '}
            {message}
          </p>
          {stack !== undefined && stack !== '' && (
            <div class="stack">
              <pre>{stack}</pre>
              <CopyButton text={() => stack} label="Copy the stack trace" />
            </div>
          )}
        </div>
      )}
      {rest.length > 0 && <AttributeTable attributes={rest} filter={filter} />}
    </>
  );
}
