/** Values of keys: bytes, and how they are shown and typed without losing one. Pure. */

/** The largest value that a server takes (`kv_max_value_size` unless it is configured otherwise). */
export const VALUE_MAX = 512 * 1024;

/** Bytes of base64; null is nothing. */
export function fromBase64(text) {
  const binary = atob(text ?? '');
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Base64 of bytes. */
export function toBase64(bytes) {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

/** What a text field would not give back as it was: other control characters than tab and line ends. */
const UNTYPABLE = /[\u0000-\u0008\u000b-\u001f\u007f]/;

/**
 * Bytes as text for a text field.
 * @returns {{text: string, lineEnd: string}|null} null: a text field would change them, so they are no text for us.
 *   A field has `\n` only: `lineEnd` is what to put in its place.
 */
export function asText(bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  const unix = text.replaceAll('\r\n', '\n');
  if (UNTYPABLE.test(unix)) return null;
  if (unix.length === text.length) return { text, lineEnd: '\n' };
  const isMixed = unix.replaceAll('\n', '\r\n').length !== text.length;
  return isMixed ? null : { text: unix, lineEnd: '\r\n' };
}

/** The bytes of a text field's text. */
export const fromText = (text, lineEnd = '\n') =>
  new TextEncoder().encode(lineEnd === '\n' ? text : text.replaceAll('\n', lineEnd));

/** Bytes as lines of 16 in hexadecimal. */
export function asHex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    lines.push(Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0')).join(' '));
  }
  return lines.join('\n');
}

/** Bytes of hexadecimal digits, spaces as one likes. Throws an Error that says what is wrong. */
export function fromHex(text) {
  const digits = text.replace(/\s+/g, '');
  const wrong = /[^0-9a-fA-F]/.exec(digits);
  if (wrong) throw new Error(`"${wrong[0]}" is no hexadecimal digit`);
  if (digits.length % 2) throw new Error('an odd number of hexadecimal digits: each byte has two');
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export const isEqual = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

/** What is wrong with a text as JSON; '' if nothing is. */
export function jsonError(text) {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return error.message;
  }
}

/**
 * JSON with two spaces, numbers as they were typed: only the space between the parts changes. Throws an Error if that is
 * larger than a server takes: deep nesting makes much of a little.
 */
export function prettyJson(text) {
  JSON.parse(text);
  const parts = text.match(/"(?:\\.|[^"\\])*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? [];
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(depth)}`;
  parts.forEach((part, at) => {
    const next = parts[at + 1];
    if (part === '{' || part === '[') {
      depth += 1;
      out += next === '}' || next === ']' ? part : part + line();
    } else if (part === '}' || part === ']') {
      depth -= 1;
      out += parts[at - 1] === '{' || parts[at - 1] === '[' ? part : line() + part;
    } else if (part === ',') out += part + line();
    else if (part === ':') out += ': ';
    else out += part;
    if (out.length > VALUE_MAX) throw new Error('pretty-printed it is larger than a server takes');
  });
  return out;
}
