/** Values of keys: no byte is lost between the store, a text field and the store. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  asHex,
  asText,
  fromBase64,
  fromHex,
  fromText,
  isEqual,
  jsonError,
  prettyJson,
  toBase64,
} from '../../../consulpy/ui/static/assets/bytes.js';

const bytes = (...values) => Uint8Array.from(values);
const utf8 = (text) => new TextEncoder().encode(text);
/** What a text field gives back: its line ends are always \n. */
const field = (text) => text.replace(/\r\n?/g, '\n');

test('text that a field gives back as it was comes back as the same bytes', () => {
  for (const text of ['', 'a', 'ä\n\tb\n', 'a\r\nb\r\n', '\ufeffbom', '{"a": 1}\n', 'שלום\u202e', '👩‍💻']) {
    const found = asText(utf8(text));
    assert.ok(found, JSON.stringify(text));
    assert.ok(isEqual(fromText(field(found.text), found.lineEnd), utf8(text)), JSON.stringify(text));
  }
});

test('what a field would change is no text: it is edited as hexadecimal', () => {
  for (const value of [
    bytes(0xff, 0xfe),
    bytes(0),
    utf8('a\rb'),
    utf8('a\r\nb\nc'),
    utf8('a\u001b[31m'),
    bytes(0xed, 0xa0, 0x80),
    bytes(0xc0, 0x80),
  ]) {
    assert.equal(asText(value), null, asHex(value));
  }
});

test('every byte there and back, as base64 and as hexadecimal', () => {
  const all = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 7) % 256);
  assert.ok(isEqual(fromBase64(toBase64(all)), all));
  assert.ok(isEqual(fromHex(asHex(all)), all));
  assert.equal(fromBase64(null).length, 0);
});

test('what is wrong with hexadecimal is said', () => {
  assert.throws(() => fromHex('0g'), /"g" is no hexadecimal digit/);
  assert.throws(() => fromHex('000'), /odd number/);
  assert.ok(isEqual(fromHex(' 00\nFF aa'), bytes(0, 255, 170)));
});

test('JSON that is nested deeply does not become hundreds of megabytes', () => {
  const deep = (depth) => '['.repeat(depth) + ']'.repeat(depth);
  assert.throws(() => prettyJson(deep(8000)), /larger than a server takes/);
  assert.equal(prettyJson(deep(2)), '[\n  []\n]');
});

test('JSON becomes prettier without a number or a key being touched', () => {
  const text = '{"big":12345678901234567890,"e":1e400,"a":[1,2,{}],"a":"x,{}:\\"y","empty":[]}';
  assert.equal(
    prettyJson(text),
    '{\n  "big": 12345678901234567890,\n  "e": 1e400,\n  "a": [\n    1,\n    2,\n    {}\n  ],\n  "a": "x,{}:\\"y",\n  "empty": []\n}',
  );
  assert.equal(jsonError('{'), jsonError('{'));
  assert.notEqual(jsonError('{a}'), '');
  assert.equal(jsonError('[]'), '');
  assert.throws(() => prettyJson('{'));
});
