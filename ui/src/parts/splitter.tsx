/** A line between two areas that moves by pointer and by keys. */
import { useRef } from 'preact/hooks';

interface Props {
  readonly label: string;
  /** Where it stands, in the unit of `low` and `high`. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly step: number;
  /** How far a pixel to the right moves it. */
  readonly perPixel: number;
  readonly onMove: (value: number) => void;
}

export function Splitter({ label, value, low, high, step, perPixel, onMove }: Props) {
  const from = useRef<{ readonly x: number; readonly value: number } | undefined>(undefined);
  const move = (to: number): void => onMove(Math.min(Math.max(to, low), high));
  return (
    <div
      class="splitter"
      role="separator"
      aria-orientation="vertical"
      aria-label={label}
      aria-valuenow={Math.round((100 * (value - low)) / (high - low))}
      tabIndex={0}
      onPointerDown={(event) => {
        event.preventDefault();
        event.stopPropagation();
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = { x: event.clientX, value };
      }}
      onPointerMove={(event) => {
        if (from.current !== undefined) move(from.current.value + (event.clientX - from.current.x) * perPixel);
      }}
      onPointerUp={() => {
        from.current = undefined;
      }}
      onPointerCancel={() => {
        from.current = undefined;
      }}
      onKeyDown={(event) => {
        if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
        event.preventDefault();
        event.stopPropagation();
        move(value + (event.key === 'ArrowRight' ? step : -step) * Math.sign(perPixel));
      }}
    />
  );
}
