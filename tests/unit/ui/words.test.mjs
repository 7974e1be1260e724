/** Words, text from outside, times. */
import assert from 'node:assert/strict';
import test from 'node:test';
import * as words from '../../../consulpy/ui/static/assets/words.js';

test('characters that cannot be seen are shown as marks', () => {
  assert.equal(words.visible('evil\u202etxt.exe'), 'evil[U+202E]txt.exe');
  assert.equal(words.visible('a\u0000b\u001bc\u007fd'), 'a␀b␛c␡d');
  assert.equal(words.visible('a\u200bb\ufeffc\u2066d'), 'a[U+200B]b[U+FEFF]c[U+2066]d');
  assert.equal(words.visible('lone \ud800 half \udc00'), 'lone [U+D800] half [U+DC00]');
  assert.equal(words.visible('tag \u{e0041}'), 'tag [U+E0041]');
});

test('no two names look alike because of what has no width, or because of spaces', () => {
  for (const hidden of ['\u034f', '\u115f', '\u17b4', '\u180b', '\u200c', '\u200d', '\u2064', '\ufe0f', '\uffa0', '\u{e0101}'])
    assert.match(words.visible(`we${hidden}b`), /^we\[U\+[0-9A-F]{4,5}\]b$/);
  assert.equal(words.visible('1\ufe0f'), '1[U+FE0F]');
  for (const space of ['\u00a0', '\u2003', '\u202f', '\u3000', '\u2800']) assert.match(words.visible(`a${space}b`), /^a\[U\+/);
  assert.deepEqual([' a', 'a ', 'a  b', 'a b', ' '].map(words.visible), ['␣a', 'a␣', 'a␣␣b', 'a b', '␣']);
});

test('letters of all scripts and joined emoji stay as they are', () => {
  for (const text of ['héllo', 'שלום', '日本', '👩\u200d💻', '❤\ufe0f', '1\ufe0f\u20e3', 'نمی\u200cخواهم', 'क्\u200dष', 'a_b-c.d']) assert.equal(words.visible(text), text);
});

test('lines and tabs of an output stay, its other controls are marked', () => {
  assert.equal(words.visibleLines('a\r\n\tb\u001b[31m'), 'a\n\tb␛[31m');
  assert.equal(words.visibleLines(' a  b\u00a0c '), ' a  b\u00a0c ');
});

test('the first line of an output is the first that says something, and short', () => {
  assert.equal(words.firstLine('\n\n  \nrefused\nmore'), 'refused');
  assert.equal(words.firstLine('x'.repeat(500_000)).length, 202);
  assert.equal(words.firstLine(null), '');
});

test('only http and https become links', () => {
  assert.equal(words.webAddress('https://wiki/x'), 'https://wiki/x');
  for (const text of [
    'javascript:alert(1)',
    'data:text/html,x',
    ' //x',
    'vbscript:x',
    'file:///etc/passwd',
    '',
    null,
  ]) {
    assert.equal(words.webAddress(text), '');
  }
});

test('the worst state wins, and none is said to be none', () => {
  assert.equal(words.worst(['passing', 'critical', 'warning']), 'critical');
  assert.equal(words.worst(['alive', 'failed', 'critical']), 'failed');
  assert.equal(words.worst([]), 'no checks');
  assert.equal(words.checkState('nonsense'), 'critical');
});

test('durations are said with one unit', () => {
  assert.deepEqual([0, 89, 90, 5399, 5400, 172800].map(words.duration), [
    '0 s',
    '89 s',
    '2 min',
    '90 min',
    '2 h',
    '2 d',
  ]);
  assert.equal(words.goSeconds('72h0m0s'), 259200);
  assert.equal(words.goSeconds('1m30.5s'), 90.5);
  assert.equal(words.goSeconds('500ms'), 0.5);
  assert.equal(words.goSeconds(undefined), 0);
});

test('an argument of a command is quoted where the shell needs it', () => {
  assert.equal(words.shellWord('web-1.x'), 'web-1.x');
  assert.equal(words.shellWord("it's $HOME"), "'it'\\''s $HOME'");
  assert.equal(words.shellWord(''), "''");
  assert.equal(words.shellWord('a\\\u202e\'b\n'), "$'a\\\\\\u202e\\'b\\u000a'");
  assert.equal(words.hostPort('::1', 80), '[::1]:80');
});

test('a command has what comes from outside as arguments, never as flags, and its datacenter', () => {
  assert.equal(words.commandLine('kv get', ['a']), 'kv get a');
  assert.equal(words.commandLine('kv get', ['-recurse']), 'kv get -- -recurse');
  assert.equal(words.commandLine('intention get', ['*', '$(reboot)'], 'dc 2'), "intention get -datacenter='dc 2' '*' '$(reboot)'");
});

test('what cannot be seen in a text is named once', () => {
  assert.deepEqual(words.hiddenIn('a\u202eb\u202ec\u200b\r\n\td\u001b'), ['[U+202E]', '[U+200B]', '␛']);
  assert.deepEqual(words.hiddenIn('plain\ntext'), []);
});

test('times of day of the agent are told in the zone of the browser', () => {
  const zone = process.env.TZ;
  process.env.TZ = 'America/New_York';
  try {
    const winter = Date.UTC(2026, 10, 29, 12);
    assert.equal(words.localTimes('dead (since 03:12:41Z, 13:00:00Z)', winter), 'dead (since 22:12:41, 08:00:00)');
    assert.equal(words.localTimes('at 2026-11-29T03:12:41Z, 127.0.0.1:8301', winter), 'at 2026-11-29T03:12:41Z, 127.0.0.1:8301');
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});
