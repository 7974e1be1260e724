/** How things are said: states, text from outside, times, numbers. Pure. */

/** Every state: its shape, the class that colours it, and its rank; the lowest rank is the worst and stands first. */
export const STATES = {
  failed: { shape: '✕', tone: 'bad', rank: 0 },
  critical: { shape: '✕', tone: 'bad', rank: 1 },
  warning: { shape: '▲', tone: 'warn', rank: 2 },
  leaving: { shape: '◐', tone: 'warn', rank: 3 },
  external: { shape: '◇', tone: 'muted', rank: 5 },
  unknown: { shape: '◇', tone: 'muted', rank: 5 },
  'no checks': { shape: '◇', tone: 'muted', rank: 6 },
  passing: { shape: '✓', tone: 'good', rank: 7 },
  alive: { shape: '●', tone: 'good', rank: 7 },
  left: { shape: '○', tone: 'muted', rank: 8 },
};

/** Rank of a state word; unknown words count as `unknown`. */
export const rank = (state) => (STATES[state] ?? STATES.unknown).rank;

/** The worst of some states; `none` if there are none. */
export const worst = (states, none = 'no checks') =>
  states.reduce((found, state) => (found === '' || rank(state) < rank(found) ? state : found), '') || none;

/** The state of a check: anything that is not passing or warning is critical, as Consul counts. */
export const checkState = (status) => (status === 'passing' || status === 'warning' ? status : 'critical');

/** Names of member statuses, which are numbers in the API. */
export const MEMBER = ['unknown', 'alive', 'leaving', 'left', 'failed'];

/** Scripts whose letters are joined and kept apart by U+200C and U+200D. */
const JOINING =
  'Arabic Syriac Mongolian Nko Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Tibetan Myanmar Khmer'
    .split(' ')
    .map((script) => `\\p{Script=${script}}`)
    .join('');
/** Joiners and variation selectors where they make one letter or picture of several. */
const JOINED = new RegExp(
  [
    `(?<=[${JOINING}])[\u200c\u200d](?=[${JOINING}])`,
    '(?<=[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\ufe0f])\u200d(?=\\p{Extended_Pictographic})',
    '(?<=\\p{Extended_Pictographic})[\ufe0e\ufe0f]',
    '(?<=[0-9#*])\ufe0f(?=\u20e3)',
  ].join('|'),
  'uy',
);
// Controls, marks that turn the direction of text, characters without a width: a name must not be able to hide them.
const UNSEEN = '\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ufff9-\\ufffb\\p{Default_Ignorable_Code_Point}\\p{Cs}';
const HIDDEN = new RegExp(`[${UNSEEN}]`, 'gu');
/** Also spaces that look like another character's, or like none. */
const HIDDEN_IN_NAME = new RegExp(`[${UNSEEN}\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]`, 'gu');

function mark(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '␡';
  return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
}

/** Most texts, which are looked through faster. */
const PLAIN = /^[ -~]*$/;

/** A text with `as(character)` for each character that cannot be seen. */
function replaced(text, pattern, as) {
  const whole = String(text ?? '');
  if (PLAIN.test(whole)) return whole;
  return whole.replace(pattern, (found, at) => {
    JOINED.lastIndex = at;
    return JOINED.test(whole) ? found : as(found);
  });
}

/** A name from outside: every character that cannot be seen is a mark, also spaces at its ends and beside each other. */
export const visible = (text) =>
  replaced(text, HIDDEN_IN_NAME, mark).replace(/^ +| +$| {2,}/g, (found) => '␣'.repeat(found.length));

/** The same for text of several lines: spaces, line ends and tabs stay. */
export const visibleLines = (text) =>
  replaced(String(text ?? '').replace(/\r\n/g, '\n'), HIDDEN, (found) =>
    found === '\n' || found === '\t' ? found : mark(found),
  );

/** The marks of what cannot be seen in a text of several lines, each once. */
export function hiddenIn(text) {
  const found = new Set();
  replaced(text, HIDDEN_IN_NAME, (each) => '\r\n\t'.includes(each) || found.add(mark(each)));
  return [...found];
}

/** The first line that says something, at most `most` characters. */
export function firstLine(text, most = 200) {
  const line =
    String(text ?? '')
      .slice(0, 4000)
      .split('\n')
      .find((each) => each.trim()) ?? '';
  return visibleLines(line.length > most ? `${line.slice(0, most)} …` : line)
    .replace(/[\t ]+/g, ' ')
    .trim();
}

/** An http or https address, or '' for anything else: only these become links. */
export function webAddress(text) {
  try {
    const found = new URL(String(text));
    return found.protocol === 'http:' || found.protocol === 'https:' ? found.href : '';
  } catch {
    return '';
  }
}

/** `1 node`, `2 nodes`. */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** A duration in seconds as people say it: `12 s`, `4 min`, `3 h`, `5 d`. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

const two = (number) => String(number).padStart(2, '0');

/** The time of day in this browser's zone: `03:12:41`. */
export const clockTime = (ms) => {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
};

/** A text of the agent with its times of day, `03:12:41Z`, in this browser's zone. `nowMs`: a moment of about that day. */
export const localTimes = (text, nowMs = Date.now()) =>
  String(text ?? '').replace(/(?<![\d:T])(\d\d):(\d\d):(\d\d)Z/g, (_, hours, minutes, seconds) =>
    clockTime(new Date(nowMs).setUTCHours(Number(hours), Number(minutes), Number(seconds))),
  );

/** Date and time in this browser's zone: `2024-05-01 03:12:41`. */
export const dateTime = (ms) => {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clockTime(ms)}`;
};

/** Bytes as people read them. */
export const bytes = (number) =>
  number < 1024
    ? `${number} B`
    : number < 1048576
      ? `${(number / 1024).toFixed(1)} KiB`
      : `${(number / 1048576).toFixed(1)} MiB`;

/** Seconds of a Go duration: `1m30s` is 90. */
export function goSeconds(text) {
  const unit = { h: 3600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };
  return [...String(text ?? '').matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)].reduce(
    (sum, [, n, u]) => sum + Number(n) * unit[u],
    0,
  );
}

const escaped = (character) => {
  const code = character.codePointAt(0);
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
};

/** An argument of a shell command, quoted if it has to be; what cannot be seen as bash and zsh write it. */
export function shellWord(text) {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  const isSeen = replaced(text, HIDDEN_IN_NAME, () => '') === text;
  if (isSeen) return `'${text.replaceAll("'", "'\\''")}'`;
  return `$'${replaced(text.replace(/[\\']/g, '\\$&'), HIDDEN_IN_NAME, escaped)}'`;
}

/** A command with arguments from outside. `dc`: the datacenter that it is about, '' for the agent's own. */
export const commandLine = (words, args = [], dc = '') =>
  [
    words,
    ...(dc ? [`-datacenter=${shellWord(dc)}`] : []),
    ...(args.some((each) => each.startsWith('-')) ? ['--'] : []),
    ...args.map(shellWord),
  ].join(' ');

/** An address with its port; IPv6 in brackets. */
export const hostPort = (host, port) => (port ? `${host.includes(':') ? `[${host}]` : host}:${port}` : host);
