/** Checks JSON at the door: behind it every value has the type it claims. */
import { RequestError } from './request';

/** A JSON object whose fields are read by type. */
export class Fields {
  readonly #fields: Record<string, unknown>;
  readonly #where: string;

  constructor(value: unknown, where: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw unexpected(where, 'an object');
    }
    this.#fields = { ...value };
    this.#where = where;
  }

  text(name: string): string {
    const value = this.#fields[name];
    if (typeof value !== 'string') throw unexpected(this.#path(name), 'a text');
    return value;
  }

  /** Empty where the field is absent or null. */
  optionalText(name: string): string {
    return this.#absent(name) ? '' : this.text(name);
  }

  number(name: string): number {
    const value = this.#fields[name];
    if (typeof value !== 'number') throw unexpected(this.#path(name), 'a number');
    return value;
  }

  /** 0 where the field is absent or null. */
  optionalNumber(name: string): number {
    return this.#absent(name) ? 0 : this.number(name);
  }

  /** Nanoseconds as decimal digits. */
  time(name: string): bigint {
    const digits = this.text(name);
    if (!/^\d{1,20}$/.test(digits)) throw unexpected(this.#path(name), 'nanoseconds');
    return BigInt(digits);
  }

  /** An empty list where the field is absent or null. */
  list<Item>(name: string, read: (value: unknown, where: string) => Item): Item[] {
    if (this.#absent(name)) return [];
    const value = this.#fields[name];
    if (!Array.isArray(value)) throw unexpected(this.#path(name), 'a list');
    return value.map((item: unknown, index) => read(item, `${this.#path(name)}[${index}]`));
  }

  object(name: string): Fields {
    return new Fields(this.#fields[name], this.#path(name));
  }

  /** One without fields where the field is absent or null. */
  optionalObject(name: string): Fields {
    return this.#absent(name) ? new Fields({}, this.#path(name)) : this.object(name);
  }

  #absent(name: string): boolean {
    return this.#fields[name] === undefined || this.#fields[name] === null;
  }

  #path(name: string): string {
    return `${this.#where}.${name}`;
  }
}

export function readText(value: unknown, where: string): string {
  if (typeof value !== 'string') throw unexpected(where, 'a text');
  return value;
}

function unexpected(where: string, wanted: string): RequestError {
  return new RequestError(0, 'Unexpected answer', `${where} is not ${wanted}`);
}
