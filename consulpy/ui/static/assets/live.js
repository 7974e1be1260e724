/**
 * A feed: one answer of the API that is kept up to date by blocking queries.
 * Pure but for what it is given: how to read, the time, and how to wait.
 */

/** How long the server may hold a query that has nothing new. */
export const WAIT = '60s';
const POLL_MS = 5000;
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 10000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30000;
const STALE_PAUSE_MS = 2000;

/** The pause after an answer: a view spends at most a tenth of its time on changes, however many come. */
export const pauseAfter = (spentMs) => Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, 10 * spentMs));

/** The pause after the n-th failure in a row (from 1), with a jitter of a quarter. `random` is 0 to 1. */
export const retryAfter = (failures, random) =>
  Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1)) * (0.75 + random / 4);

/** The index to ask with after an answer: 0 is to start anew, because the server's counting did. */
export const nextIndex = (known, answered) => (answered === null || answered < 1 || answered < known ? 0 : answered);

export class Feed {
  /**
   * @param {string} path
   * @param {{get: Function, now: () => number, sleep: (ms: number, signal: AbortSignal) => Promise, random: () => number,
   *   isLeaderless?: () => boolean, isLive?: () => boolean}} outside `isLive`: whether updates are wanted
   * @param {{once?: boolean, pollMs?: number, patienceMs?: number}} how `once`: ask once; `pollMs`: the pause where there
   *   is no index; `patienceMs`: an answer that takes longer is none
   * @param {(feed: Feed) => (Promise|void)} changed called after each answer and error; may resolve when all is drawn
   */
  constructor(path, outside, how, changed) {
    this.path = path;
    this.outside = outside;
    this.how = how;
    this.changed = changed;
    this.body = undefined;
    this.error = null;
    /** When the last answer came, by the outside's clock; 0 before. */
    this.atMs = 0;
    this.knownLeader = true;
    this.lastContactMs = 0;
    this.isFiltered = false;
    this.defaultPolicy = '';
    this.version = 0;
    this._abort = null;
    this._text = null;
  }

  /** The answer as it came, for numbers that JavaScript would round. */
  get text() {
    return this._text ?? '';
  }

  get _isOnce() {
    return this.how.once || this.outside.isLive?.() === false;
  }

  /** Whether it has been started, and not stopped. */
  get isAsking() {
    return this._abort !== null;
  }

  start() {
    if (this._abort) return;
    this._abort = new AbortController();
    this._run(this._abort.signal).catch((error) => reportError(error));
  }

  /** Stop asking; what is known stays. */
  stop() {
    this._abort?.abort();
    this._abort = null;
  }

  /** Ask now, whatever is waited for. */
  again() {
    this.stop();
    this.start();
  }

  async _run(signal) {
    let index = 0;
    let failures = 0;
    while (!signal.aborted) {
      let pauseMs;
      try {
        const answer = await this._read(index, signal);
        if (signal.aborted) return;
        failures = 0;
        await this._take(answer);
        if (this._isOnce) return;
        const spentMs = this.outside.now() - answer.arrived;
        index = answer.knownLeader ? nextIndex(index, answer.index) : 0;
        pauseMs = pauseAfter(spentMs);
        if (!answer.knownLeader) pauseMs = Math.max(pauseMs, STALE_PAUSE_MS);
        else if (answer.index === null || answer.index < 1) pauseMs = Math.max(pauseMs, this.how.pollMs ?? POLL_MS);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        index = 0; // with an index an unchanged server would keep us waiting, and the alert up
        await this._fail(error);
        if (this._isOnce && error.status >= 400 && !error.isLeaderless) return;
        const isFinal = error.status === 403 || error.status === 404;
        pauseMs = isFinal ? MAX_RETRY_MS : retryAfter(failures, this.outside.random());
      }
      await this.outside.sleep(pauseMs, signal);
    }
  }

  /**
   * Without a leader what a server knows is better than nothing: it is asked for, and marked as possibly old; at once if it
   * is known that there is none, because servers wait some seconds for a new one before they say so.
   */
  async _read(index, signal) {
    if (!this.outside.isLeaderless?.()) {
      try {
        return await this.outside.get(this.path, { index, wait: WAIT, signal, patienceMs: this.how.patienceMs });
      } catch (error) {
        if (!error.isLeaderless) throw error;
      }
    }
    const answer = await this.outside.get(this.path, { stale: true, signal });
    return { ...answer, knownLeader: false };
  }

  async _take(answer) {
    this.atMs = this.outside.now();
    this.error = null;
    this.knownLeader = answer.knownLeader;
    this.lastContactMs = answer.lastContactMs;
    this.isFiltered = Boolean(answer.isFiltered);
    this.defaultPolicy = answer.defaultPolicy ?? '';
    if (answer.text !== this._text) {
      this._text = answer.text;
      this.body = answer.body;
      this.version += 1;
    }
    await this.changed(this);
  }

  async _fail(error) {
    this.error = error;
    if (error.status === 404) {
      this.body = undefined;
      this._text = null;
      this.version += 1;
    }
    await this.changed(this);
  }
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
    if (signal?.aborted) done();
  });
