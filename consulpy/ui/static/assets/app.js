/** The page: its routes, and what of it is drawn when. */

import { html, render } from './vendor/lit-html/lit-html.js';
import { ask } from './dialog.js';
import { frame } from './frame.js';
import { base, link, name } from './parts.js';
import { parse, to } from './routes.js';
import { Feed, sleep } from './live.js';
import { currentToken, get, withQuery } from './api.js';
import { hidden, trouble } from './trouble.js';
import { View } from './view.js';
import { page as nodes } from './pages/nodes.js';
import { page as overview } from './pages/overview.js';
import { page as services } from './pages/services.js';

/** Pages that are fetched with this file: visits begin with them. */
const AT_ONCE = { overview, services, nodes };
/** The others; each is a module of its name. */
const LATER = (
  'service instance node keys key intentions intention acls acl setting servers map events sessions queries agent ' +
  'missing'
).split(' ');

const load = async (page) => (await import(`./pages/${page}.js`)).page;

const STORE = 'consulpy-settings';
const outside = { get, now: () => performance.now(), sleep, random: Math.random };

class App {
  constructor(root) {
    this.root = root;
    this.view = null;
    this.status = '';
    this.announced = '';
    this.settings = { theme: '', isCompact: false, hasKeys: true, isLive: true };
    this.isNarrow = matchMedia('(max-width: 1380px)');
    this.isNarrow.addEventListener('change', () => this.schedule());
    this.self = new Feed('/v1/agent/self', outside, { once: true }, () => this._knowSelf());
    this.datacenters = new Feed('/v1/catalog/datacenters', outside, { once: true }, () => this._knowSelf());
    this._watchLeader('');
  }

  /** Who leads the view's datacenter. A blocking query does not end when the leader is lost, so this is asked beside it. */
  _watchLeader(dc) {
    if (this._leaderDc === dc) return;
    this.leader?.stop();
    this.leader = new Feed(withQuery('/v1/status/leader', { dc }), outside, { patienceMs: 10000 }, () => {
      if (this.isLeaderless && this.view?.route.dc === dc) this.view.leaderLost();
      return this.schedule();
    });
    this._leaderDc = dc;
    if (dc && !document.hidden) this.leader.start();
  }

  /** Whether it is known that the view's datacenter has no leader. */
  get isLeaderless() {
    return this.leader.body === '' || Boolean(this.leader.error?.isLeaderless);
  }

  /** No requests are sent while the page is hidden. */
  _showOrHide(isHidden) {
    if (isHidden) {
      this.view?.pause();
      this.leader.stop();
    } else {
      this.view?.start();
      if (this._leaderDc) this.leader.start();
    }
  }

  _stored() {
    try {
      return JSON.parse(localStorage.getItem(STORE) ?? '{}');
    } catch {
      return {};
    }
  }

  /** Change settings of this browser. Nothing secret is among them. */
  change(settings) {
    Object.assign(this.settings, settings);
    try {
      localStorage.setItem(STORE, JSON.stringify(this.settings));
    } catch {
      // storage is forbidden here: they hold until a reload
    }
    this._dress();
    this.reload();
  }

  _dress() {
    const { theme, isCompact } = this.settings;
    document.documentElement.dataset.theme = theme;
    document.documentElement.classList.toggle('compact', isCompact);
  }

  /** This agent: datacenter, name, role; null until it is known. */
  get own() {
    return this.self.body?.Config ?? null;
  }

  get ownDatacenter() {
    return this.own?.Datacenter ?? this.datacenters.body?.[0] ?? '';
  }

  /** Whether the view is of this agent's datacenter, as far as is known. */
  isOwn(dc) {
    return !this.own || this.own.Datacenter === dc;
  }

  _knowSelf() {
    if (this.view === null || this.view.route.page === '' || !this.view.route.dc) this._arrive(false);
    return this.schedule();
  }

  start() {
    addEventListener('popstate', () => this._arrive(true, history.state?.y ?? 0));
    document.addEventListener('click', (event) => this._clicked(event));
    document.addEventListener('visibilitychange', () => this._showOrHide(document.hidden));
    addEventListener('beforeunload', (event) => this._isUnsaved() && event.preventDefault());
    addEventListener('pagehide', () => this._showOrHide(true));
    addEventListener('pageshow', (event) => event.persisted && this._showOrHide(false));
    history.scrollRestoration = 'manual';
    this._arrive(false); // first: what the page shows is asked for before what is around it
    Object.assign(this.settings, this._stored()); // browsers may take long to read it
    this._dress();
    this.self.start();
    this.datacenters.start();
    setInterval(() => document.hidden || this.schedule(), 15000); // relative times grow older
    setTimeout(() => this._prepare(), 1500);
  }

  /** Everything else is fetched while nothing happens: the page must work when the agent does not. */
  async _prepare() {
    await import('./keys.js').then((keys) => keys.listen(this)).catch(() => setTimeout(() => this._prepare(), 5000));
    for (const page of LATER) await load(page).catch(() => {});
  }

  /** Go to a page; `path` is without the content path. */
  navigate(path, { replace = false } = {}) {
    if (!replace) history.replaceState({ y: scrollY }, '');
    history[replace ? 'replaceState' : 'pushState']({}, '', link(path));
    this._arrive(true);
  }

  /** The view has put a setting into its address. */
  moved(address) {
    this._address = address;
  }

  /** Draw the same page from nothing, as after a new token. */
  reload() {
    this.self.again();
    this.datacenters.again();
    if (this._leaderDc) this.leader.again();
    this._arrive(false);
  }

  /** The route of the address: until its page is loaded, the view is still the one before. */
  here() {
    return parse(location.pathname.slice(base.length), new URLSearchParams(location.search));
  }

  async _arrive(isMove, y = 0) {
    const route = this.here();
    if (!route.dc && route.page === 'setting') route.dc = this.ownDatacenter;
    if (route.page === '') {
      const dc = route.dc || this.ownDatacenter;
      if (dc) return this.navigate(to.section(dc, 'overview'), { replace: true });
    }
    const arrival = (this._arrival = Symbol('arrival'));
    let page;
    try {
      page =
        route.page === ''
          ? { title: () => 'Overview', render: () => html`<h1>Overview</h1>` }
          : (AT_ONCE[route.page] ?? (await load(route.page)));
    } catch {
      page = await load('missing').catch(() => UNREACHABLE);
    }
    if (arrival !== this._arrival) return undefined;
    if (isMove && this._isUnsaved() && !(await this._mayLeave())) {
      history.pushState({}, '', this._address);
      return undefined;
    }
    this.view?.stop();
    this._address = location.pathname + location.search;
    try {
      this.view = new View(this, route, page);
    } catch (error) {
      this.view = new View(this, route, broken(error)); // a name that no address can hold
    }
    this.view.start();
    this._watchLeader(route.dc);
    this._restore = y;
    this.drawNow();
    if (isMove) {
      scrollTo(0, 0);
      document.getElementById('main')?.focus({ preventScroll: true });
    }
    return undefined;
  }

  _isUnsaved() {
    return Boolean(this.view?.page.isUnsaved?.(this.view));
  }

  async _mayLeave() {
    return ask({
      title: 'Leave without saving?',
      body: html`<p>What you typed on this page is not saved.</p>`,
      danger: 'Leave',
      cancel: 'Stay',
    });
  }

  _clicked(event) {
    const menu = /** @type {HTMLDetailsElement | null} */ (document.querySelector('details.more[open]'));
    if (menu && !menu.contains(event.target)) menu.open = false;
    const anchor = event.target.closest?.('a[href]');
    if (
      !anchor ||
      event.defaultPrevented ||
      event.button ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const address = new URL(anchor.href);
    if (address.origin !== location.origin || !address.pathname.startsWith(base) || anchor.hasAttribute('download'))
      return;
    event.preventDefault();
    if (anchor.getAttribute('href').startsWith('#')) document.getElementById(address.hash.slice(1))?.focus();
    else this.navigate(address.pathname.slice(base.length) + address.search);
  }

  /** Why nothing can be changed now, in words; '' if it can. */
  whyNoWrites() {
    const trouble = this.trouble();
    return trouble === 'away' ? 'no connection to the agent' : trouble === 'leaderless' ? 'no leader' : '';
  }

  /** What is wrong with what one sees (`trouble.js`). */
  trouble() {
    return trouble(Object.values(this.view?.feeds ?? {}), this.leader);
  }

  /** Whether lists may lack what may not be read (`trouble.js`). */
  hidden() {
    return hidden(Object.values(this.view?.feeds ?? {}), this.leader, this.self, Boolean(currentToken()));
  }

  /** What was done, for the `status` line. */
  say(text) {
    this.status = text;
    this.schedule();
    clearTimeout(this._saying);
    this._saying = setTimeout(() => {
      this.status = '';
      this.schedule();
    }, 10000);
  }

  /** Tell those who hear the page what has changed on it. */
  announce(text) {
    this.announced = text;
    this.schedule();
  }

  /** Draw before the next frame; many calls are one drawing. */
  schedule() {
    this._drawing ??= new Promise((resolve) => {
      const draw = () => {
        this._drawing = null;
        this.drawNow();
        resolve();
      };
      if (document.hidden)
        setTimeout(draw, 0); // a hidden tab has no frames
      else requestAnimationFrame(draw);
    });
    return this._drawing;
  }

  drawNow() {
    const { view } = this;
    if (!view) return;
    document.title = [view.page.title(view.route), view.route.dc, 'consulpy'].filter(Boolean).join(' - ');
    if (!this._isDrawn) this.root.replaceChildren(); // what index.html says while there is no page
    this._isDrawn = true;
    render(frame(this), this.root);
    if (this._restore && document.documentElement.scrollHeight >= this._restore + innerHeight) {
      scrollTo(0, this._restore);
      this._restore = 0;
    }
  }
}

const UNREACHABLE = {
  title: () => 'Unreachable',
  render: () => html`<h1>This page could not be loaded</h1><p>The agent does not answer. <a href="">Try again</a></p>`,
};

const broken = (error) => ({
  title: () => 'Not possible',
  render: () => html`<h1>This cannot be shown</h1><p class="failure">${name(error.message)}</p>`,
});

const app = new App(document.getElementById('app'));
app.start();
