/** A service's name beside its color. */

export interface ChipColor {
  readonly hue: number;
  readonly tone: number;
}

interface Props {
  readonly name: string;
  readonly color: ChipColor;
  readonly count?: string;
  readonly error?: boolean;
}

export function ServiceChip({ name, color, count, error = false }: Props) {
  return (
    <span class="chip" data-error={error}>
      <ServiceDot color={color} />
      <span class="chip-name">{name === '' ? '(no service)' : name}</span>
      {count !== undefined && <span class="chip-count">{count}</span>}
    </span>
  );
}

export function ServiceDot({ color }: { readonly color: ChipColor }) {
  return <span class="dot" style={colorStyle(color)} />;
}

/** Sets the place in the palette; tokens.css makes a color of it. */
export function colorStyle(color: ChipColor): Record<string, string> {
  return { '--hue': String(color.hue), '--tone': String(color.tone) };
}
