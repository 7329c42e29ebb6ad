/** The searched time: up to now, or from one moment to another. */
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { fromInputTime, parseTime, toInputTime, type Zone, zoneName } from '../../format/time';

interface Props {
  readonly start: string;
  readonly end: string;
  readonly zone: Zone;
  readonly onChange: (start: string, end: string) => void;
}

const PRESETS: readonly (readonly [string, string])[] = [
  ['-5m', 'Last 5 minutes'],
  ['-15m', 'Last 15 minutes'],
  ['-1h', 'Last hour'],
  ['-3h', 'Last 3 hours'],
  ['-6h', 'Last 6 hours'],
  ['-12h', 'Last 12 hours'],
  ['-24h', 'Last 24 hours'],
  ['-48h', 'Last 2 days'],
  ['-168h', 'Last 7 days'],
];

const CUSTOM = 'custom';
const HOUR = 3_600_000_000_000n;

export function TimeRange({ start, end, zone, onChange }: Props) {
  const id = useId();
  const preset = end === '' && start.startsWith('-');
  const known = PRESETS.some(([value]) => value === start);
  const pick = (value: string): void => {
    if (value !== CUSTOM) return onChange(value, '');
    const now = BigInt(Date.now()) * 1_000_000n;
    onChange(String(now - HOUR), String(now));
  };
  return (
    <>
      <div class="field time-range">
        <label for={id}>Time</label>
        <select id={id} value={preset ? start : CUSTOM} onChange={(event) => pick(event.currentTarget.value)}>
          {PRESETS.map(([value, label]) => (
            <option key={value} value={value}>{label}</option>
          ))}
          {preset && !known && <option value={start}>{`Last ${start.slice(1)}`}</option>}
          <option value={CUSTOM}>Custom range</option>
        </select>
      </div>
      {!preset && (
        <>
          <Moment label="From" value={start} zone={zone} onChange={(moment) => onChange(moment, end)} />
          <Moment label="To" value={end} zone={zone} onChange={(moment) => onChange(start, moment)} />
        </>
      )}
    </>
  );
}

interface MomentProps {
  readonly label: string;
  readonly value: string;
  readonly zone: Zone;
  readonly onChange: (nanoseconds: string) => void;
}

/** Half a date is none of our business: its text is the browser's until it is left or Enter is pressed. */
function Moment({ label, value, zone, onChange }: MomentProps) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const time = moment(value);
  const shown = time === undefined ? '' : toInputTime(time, zone);
  useLayoutEffect(() => {
    if (input.current !== null) input.current.value = shown;
  }, [shown]);
  const commit = (): void => {
    if (input.current === null) return;
    const picked = fromInputTime(input.current.value, zone);
    if (picked === undefined) input.current.value = shown;
    else if (picked !== fromInputTime(shown, zone)) onChange(String(picked));
  };
  return (
    <div class="field moment">
      <label for={id}>
        {label} <span class="faint">{zoneName(time ?? BigInt(Date.now()) * 1_000_000n, zone)}</span>
      </label>
      <input
        id={id}
        ref={input}
        type="datetime-local"
        step="1"
        onBlur={commit}
        onKeyDown={(event) => {
          if (event.key === 'Enter') commit();
        }}
      />
    </div>
  );
}

/** Nanoseconds by magnitude, as the server reads integers; RFC 3339 otherwise. */
function moment(text: string): bigint | undefined {
  if (!/^\d+$/.test(text)) return parseTime(text);
  const units = [1_000_000_000n, 1_000_000n, 1000n, 1n];
  const unit = units[Math.min(Math.max(Math.ceil((text.length - 11) / 3), 0), 3)] ?? 1n;
  return BigInt(text) * unit;
}
