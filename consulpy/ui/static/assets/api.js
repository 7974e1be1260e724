/** Requests to the agent: the token, the headers that say how old an answer is, and errors in the server's own words. */

const TOKEN = 'consulpy-token';
let token = '';
try {
  token = sessionStorage.getItem(TOKEN) ?? '';
} catch {
  // storage is forbidden here: the token is typed anew after a reload
}

/** The token in use; '' is anonymous. */
export const currentToken = () => token;

/** Use a token from now on. `keep`: also after a reload of this tab. */
export function useToken(secret, keep) {
  token = secret;
  try {
    if (keep && secret) sessionStorage.setItem(TOKEN, secret);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // as above
  }
}

/** An answer that is not a success. `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, text, answer = '', lacks = '') {
    super(text);
    this.status = status;
    /** The whole answer: some errors have a body worth reading. */
    this.answer = answer;
    /** The right that a refused request lacks, as `operator:read`; '' where the agent does not tell. */
    this.lacks = lacks;
  }

  /** Whether the servers have no leader. */
  get isLeaderless() {
    return this.status === 500 && /No cluster leader|No known Consul servers|leadership lost/i.test(this.message);
  }
}

/** A 403 of an agent without a token, too. */
export const isRefused = (error) => error instanceof ApiError && error.status === 403;
export const isMissing = (error) => error instanceof ApiError && error.status === 404;

const number = (text) => (text === null || text === '' || Number.isNaN(Number(text)) ? null : Number(text));

/** Words of an error: the server's, without a proxy's markup around them. */
function words(status, text) {
  const plain = /^\s*</.test(text) ? '' : text.trim().slice(0, 2000);
  return (
    plain ||
    { 403: 'Permission denied', 404: 'not found', 429: 'too many requests' }[status] ||
    `the answer has status ${status}`
  );
}

/** Our agents name the right that was missing: `accessor=UUID, key:write "a"`. */
const lackedRight = (response) => (response.headers.get('X-Consulpy-Denied') ?? '').replace(/^accessor=[^,]*, */, '');

async function exchange(url, options, patienceMs, signal) {
  const abort = new AbortController();
  const stop = () => abort.abort();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const timer = setTimeout(stop, patienceMs);
  try {
    const headers = { 'X-Requested-With': 'consulpy-ui', ...options.headers };
    if (token) headers['X-Consul-Token'] = token;
    const response = await fetch(url, {
      ...options,
      headers,
      signal: abort.signal,
      redirect: 'manual',
      cache: 'no-store',
      credentials: 'same-origin',
    });
    const arrived = performance.now();
    if (response.type === 'opaqueredirect')
      throw new ApiError(400, 'the agent has no such address: a name in it is empty, "." or ".."');
    const text = options.isStream && response.ok ? '' : await response.text();
    if (!response.ok) throw new ApiError(response.status, words(response.status, text), text, lackedRight(response));
    return { response, text, arrived };
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw new ApiError(
      0,
      abort.signal.aborted ? `no answer within ${Math.round(patienceMs / 1000)} s` : 'the agent does not answer',
    );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** An address with parameters; those that are undefined or '' are left out, `true` stands without a value. */
export function withQuery(path, parameters) {
  const words = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== '' && value !== false)
    .map(([name, value]) => (value === true ? name : `${name}=${encodeURIComponent(value)}`));
  return words.length ? `${path}${path.includes('?') ? '&' : '?'}${words.join('&')}` : path;
}

/**
 * Read.
 * @param {string} path under /v1
 * @param {{index?: number, wait?: string, stale?: boolean, signal?: AbortSignal, patienceMs?: number}} options
 * @returns what the answer says: `body`, `text`, `index` (null if it has none), `knownLeader`, `lastContactMs`, `arrived`,
 *   `isFiltered` (the token may not read all of it), `defaultPolicy` (of ACLs: '' where the agent does not tell)
 */
export async function get(path, { index, wait, stale, signal, patienceMs = 30000 } = {}) {
  const url = withQuery(path, { index: index || undefined, wait: index ? wait : undefined, stale });
  const { response, text, arrived } = await exchange(url, {}, index ? 80000 : patienceMs, signal);
  let body;
  try {
    body = text === '' ? null : JSON.parse(text);
  } catch {
    throw new ApiError(502, 'the answer is not JSON: is this the address of an agent?');
  }
  const header = (name) => response.headers.get(name);
  return {
    body,
    text,
    arrived,
    index: number(header('X-Consul-Index')),
    knownLeader: header('X-Consul-KnownLeader') !== 'false',
    lastContactMs: number(header('X-Consul-LastContact')) ?? 0,
    isFiltered: header('X-Consul-Results-Filtered-By-ACLs') === 'true',
    defaultPolicy: header('X-Consul-Default-ACL-Policy') ?? '',
  };
}

/** Write: PUT, POST or DELETE; an object goes as JSON. The answer's JSON, or its text. */
export async function send(method, path, body, signal) {
  const isBinary = body instanceof Uint8Array;
  const options = { method, headers: body === undefined || isBinary ? {} : { 'Content-Type': 'application/json' } };
  if (body !== undefined) options.body = isBinary ? body : JSON.stringify(body);
  const { text } = await exchange(path, options, 30000, signal);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Write a text that is JSON already; the answer's text. For numbers that JavaScript would round. */
export async function sendText(method, path, json) {
  return (await exchange(path, { method, headers: { 'Content-Type': 'application/json' }, body: json }, 30000)).text;
}

/** The bytes of an answer, for a download. */
export async function download(path) {
  const { response } = await exchange(path, { isStream: true }, 300000);
  return response.blob();
}

/** An answer that is read while it is written, until `signal` ends it: a reader of text. */
export async function follow(path, signal) {
  const { response } = await exchange(path, { isStream: true }, 30000, signal);
  return response.body.pipeThrough(new TextDecoderStream(), { signal }).getReader();
}

/** Printable as Go sees it: agents refuse an address with any other character. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u;

/** Whether an address of the API can hold a name; servers fold `.`, `..` and empty segments away. */
export const isAddressable = (name) =>
  PRINTABLE.test(name) && !name.split('/').some((part) => part === '' || part === '.' || part === '..');

/** A name as one segment of an API address; one that the address cannot hold is an error, never another name. */
export function segment(name) {
  if (!isAddressable(name)) throw new ApiError(400, 'an address of the API cannot hold this name');
  return encodeURIComponent(name);
}
