/** Laying out text that is JSON, without touching its numbers. */

/** Longer texts are shown as they came. */
const LONGEST = 256 * 1024;
/** So are deeper ones: indentation grows with the square of the depth. */
const DEEPEST = 64;

/** The text on indented lines, or undefined when it is not a JSON object or list of moderate size. */
export function indentedJson(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed.length > LONGEST || !/^[[{]/.test(trimmed)) return undefined;
  try {
    JSON.parse(trimmed);
  } catch {
    return undefined;
  }
  return indent(trimmed);
}

/** Parsing and printing again would round 64-bit numbers, so the text itself is walked. */
function indent(json: string): string | undefined {
  let out = '';
  let depth = 0;
  for (let index = 0; index < json.length; index++) {
    const char = json[index] ?? '';
    if (char === '"') {
      const end = stringEnd(json, index);
      out += json.slice(index, end);
      index = end - 1;
    } else if (char === '{' || char === '[') {
      const close = nextSolid(json, index + 1);
      if (json[close] === '}' || json[close] === ']') {
        out += char + (json[close] ?? '');
        index = close;
      } else if (++depth > DEEPEST) return undefined;
      else out += char + newLine(depth);
    } else if (char === '}' || char === ']') out += newLine(--depth) + char;
    else if (char === ',') out += char + newLine(depth);
    else if (char === ':') out += ': ';
    else if (!/\s/.test(char)) out += char;
  }
  return out;
}

function newLine(depth: number): string {
  return `\n${'  '.repeat(depth)}`;
}

/** The index after the closing quote of the string that opens at `start`. */
function stringEnd(json: string, start: number): number {
  let index = start + 1;
  while (index < json.length && json[index] !== '"') index += json[index] === '\\' ? 2 : 1;
  return index + 1;
}

function nextSolid(json: string, start: number): number {
  let index = start;
  while (/\s/.test(json[index] ?? '')) index++;
  return index;
}
