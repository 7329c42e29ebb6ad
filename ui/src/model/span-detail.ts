/** Everything that is known of one span, fetched when its row is opened. */

export type AttributeType = 'string' | 'bool' | 'int' | 'double' | 'bytes' | 'array' | 'map' | 'empty';

export interface Attribute {
  readonly key: string;
  readonly type: AttributeType;
  /** The value as text. */
  readonly value: string;
}

export interface SpanEvent {
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly attributes: readonly Attribute[];
  readonly dropped: number;
}

export interface SpanLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: readonly Attribute[];
}

export interface SpanDetail {
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: string;
  readonly status: { readonly code: string; readonly message: string };
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  readonly duration: number;
  readonly service: string;
  readonly traceState: string;
  /** What went wrong with the span on its way here. */
  readonly warnings: readonly string[];
  readonly attributes: readonly Attribute[];
  readonly events: readonly SpanEvent[];
  readonly links: readonly SpanLink[];
  readonly resource: { readonly attributes: readonly Attribute[] };
  readonly scope: {
    readonly name: string;
    readonly version: string;
    readonly attributes: readonly Attribute[];
  };
  readonly dropped: { readonly attributes: number; readonly events: number; readonly links: number };
}

/** About how much memory a span takes: the characters of its texts. */
export function weightOf({ warnings, attributes, events, links, resource, scope }: SpanDetail): number {
  const lists = [attributes, resource.attributes, scope.attributes, ...[...events, ...links].map((part) => part.attributes)];
  let weight = warnings.reduce((sum, warning) => sum + warning.length, 0);
  for (const list of lists) for (const { key, value } of list) weight += key.length + value.length;
  return weight;
}

/** The value as JSON where its type says so: numbers, booleans and structures keep theirs. */
export function attributesAsJson(attributes: readonly Attribute[]): string {
  const lines = attributes.map(({ key, type, value }) => `  ${JSON.stringify(key)}: ${jsonValue(type, value)}`);
  return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n}`;
}

function jsonValue(type: AttributeType, value: string): string {
  if (type === 'empty') return 'null';
  if (type === 'string' || type === 'bytes') return JSON.stringify(value);
  try {
    JSON.parse(value);
    return value;
  } catch {
    return JSON.stringify(value);
  }
}
