/** One page on the screen: its feeds, its settings in the address, what the operator does on it. */

import { Feed, sleep } from './live.js';
import { ApiError, get } from './api.js';

const outside = (app) => ({
  get,
  now: () => performance.now(),
  sleep,
  random: Math.random,
  isLeaderless: () => app.isLeaderless,
  isLive: () => app.settings.isLive,
});
const ANNOUNCE_MS = 10000;

export class View {
  /**
   * @param app the application: `schedule()`, `drawNow()`, `navigate(path)`, `say(text)`, `whyNoWrites()`, `isLeaderless`
   * @param route what the address means
   * @param page the page's module
   */
  constructor(app, route, page) {
    this.app = app;
    this.route = route;
    this.page = page;
    this.state = {};
    this.feeds = {};
    this.isBusy = false;
    this.failed = null;
    this._stops = [];
    this._memos = new Map();
    this._announced = { at: -ANNOUNCE_MS, sum: 0, timer: 0 };
    for (const [name, how] of Object.entries(page.feeds?.(route, app) ?? {})) this.add(name, how);
    page.start?.(this);
  }

  /** Keep one more answer up to date from now on. */
  add(name, how) {
    const { path, ...rest } = typeof how === 'string' ? { path: how } : how;
    const feed = new Feed(path, outside(this.app), rest, () => {
      this.page.changed?.(this, name);
      return this.draw();
    });
    feed.isOptional = Boolean(rest.optional);
    this.feeds[name]?.stop();
    this.feeds[name] = feed;
    if (this._isStarted && !document.hidden) feed.start();
    return feed;
  }

  start() {
    this._isStarted = true;
    if (!document.hidden) for (const feed of Object.values(this.feeds)) feed.start();
  }

  /** There is no leader: what waits for one is asked anew, for what servers know. */
  leaderLost() {
    for (const feed of Object.values(this.feeds)) if (feed.isAsking && feed.body === undefined) feed.again();
  }

  /** The tab is hidden: nothing is asked. */
  pause() {
    for (const feed of Object.values(this.feeds)) feed.stop();
  }

  stop() {
    this._isStarted = false;
    this.pause();
    clearTimeout(this._announced.timer);
    for (const stop of this._stops) stop();
  }

  onStop(run) {
    this._stops.push(run);
  }

  /** A value that is computed anew only when one of the `versions` has changed. */
  memo(name, versions, make) {
    const kept = this._memos.get(name);
    if (
      kept &&
      kept.versions.every((each, at) => Object.is(each, versions[at])) &&
      kept.versions.length === versions.length
    )
      return kept.value;
    const value = make();
    this._memos.set(name, { versions, value });
    return value;
  }

  /** What is in the address after `?`. */
  settings(names) {
    return Object.fromEntries(names.map((name) => [name, this.route.query.get(name) ?? '']));
  }

  /** Put settings into the address. `isTyping`: not a step that Back returns to. */
  set(values, isTyping = false) {
    const query = new URLSearchParams(this.route.query);
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    this.route = { ...this.route, query };
    const text = query.toString();
    const address = location.pathname + (text && `?${text}`);
    this.app.moved(address);
    if (isTyping) history.replaceState(history.state, '', address);
    else history.pushState({}, '', address);
    this.draw();
  }

  draw() {
    return this.app.schedule();
  }

  drawNow() {
    this.app.drawNow();
  }

  say(text) {
    this.app.say(text);
  }

  /** Tell of live changes, as one count, at most every 10 s. */
  announce(text, changed) {
    const told = this._announced;
    told.sum += changed;
    told.text = text;
    if (told.timer) return;
    const waitMs = Math.max(0, told.at + ANNOUNCE_MS - performance.now());
    told.timer = setTimeout(() => {
      this.app.announce(told.sum === changed ? told.text : `${told.sum} changes`);
      Object.assign(told, { at: performance.now(), sum: 0, timer: 0 });
    }, waitMs);
  }

  /**
   * Do what changes something. What fails is kept in `failed` and shown beside the button; what the operator typed stays.
   * @returns whether it was done
   */
  async act(what, run) {
    if (this.isBusy) return false;
    this.isBusy = true;
    this.failed = null;
    this.draw();
    try {
      await run();
      if (what) this.say(what);
      return true;
    } catch (error) {
      this.failed = error instanceof ApiError ? error : new ApiError(0, String(error?.message ?? error));
      return false;
    } finally {
      this.isBusy = false;
      this.draw();
    }
  }
}
