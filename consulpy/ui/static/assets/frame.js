/** What is around every page: skip link, banner with whose view it is, navigation, alerts, status line. */

import { html, nothing } from './vendor/lit-html/lit-html.js';
import { chosen, link, name, to as anchor } from './parts.js';
import { elsewhere, to } from './routes.js';
import { isRefused } from './api.js';
import { clockTime, duration, visible } from './words.js';

/** Sections of the navigation: the first ones always, the others behind `More` where it is narrow. */
const SECTIONS = [
  ['overview', 'Overview'],
  ['services', 'Services'],
  ['nodes', 'Nodes'],
  ['kv', 'Key/Value'],
  ['intentions', 'Intentions'],
  ['servers', 'Servers'],
];
const MORE = [
  ['map', 'Map'],
  ['events', 'Events'],
  ['sessions', 'Sessions'],
  ['queries', 'Queries'],
  ['acls/tokens', 'ACL'],
  ['agent', 'Agent'],
  ['setting', 'Settings'],
];

/** The whole page. */
export function frame(app) {
  const { route, page } = app.view;
  const trouble = app.trouble();
  const isWaiting = Object.values(app.view.feeds).some(
    (feed) => feed.body === undefined && !feed.error && !feed.isOptional,
  );
  return html`<a class="skip" href="#main">Skip to content</a>
    <header>
      <a class="brand" href=${link(route.dc ? to.section(route.dc, 'overview') : '')}>consulpy</a>
      ${chooser(app, route)} ${seenBy(app)}
      <nav class="main" aria-label="Main">${links(app, route)}</nav>
      ${lamp(app, trouble)}
    </header>
    ${alert(app, trouble)}
    <main id="main" tabindex="-1" aria-busy=${isWaiting ? 'true' : 'false'} class=${trouble === 'away' ? 'dimmed' : ''}>${hidden(app)}${page.render(app.view)}</main>
    <div role="status" class="status">${app.status}</div>
    <div role="status" class="hidden">${app.announced}</div>`;
}

function chooser(app, route) {
  const names = [...new Set([route.dc, ...(app.datacenters.body ?? [])])].filter(Boolean).sort();
  if (names.length < 2) return html`<span class="dc">${name(names[0] ?? '')}</span>`;
  const choose = (event) => app.navigate(elsewhere(app.here(), event.target.value));
  return html`<select class="dc" aria-label="Datacenter" ${chosen(route.dc)} @change=${choose}>
    ${names.map((each) => html`<option .value=${each}>${visible(each)}</option>`)}
  </select>`;
}

/** Whose view this is. */
function seenBy(app) {
  const { own } = app;
  if (own) return html`<span class="seen">seen by ${name(own.NodeName)} (${own.Server ? 'server' : 'client'})</span>`;
  return isRefused(app.self.error) ? html`<span class="seen">seen by this agent</span>` : nothing;
}

function links(app, route) {
  const section = route.section === 'acls' ? 'acls/tokens' : route.section;
  const one = ([path, text]) =>
    html`<a href=${link(to.section(route.dc, path))} aria-current=${path === section ? 'page' : nothing}>${text}</a>`;
  if (!route.dc) return nothing;
  if (!app.isNarrow.matches) return [...SECTIONS, ...MORE].map(one);
  const here = MORE.find(([path]) => path === section);
  const close = (event) => event.target.closest('a') && event.currentTarget.removeAttribute('open');
  const escape = (event) => {
    if (event.key !== 'Escape') return;
    event.currentTarget.removeAttribute('open');
    event.currentTarget.querySelector('summary').focus();
  };
  const left = (event) => {
    const { currentTarget: menu, relatedTarget: next } = event;
    if (next && !menu.contains(next)) menu.removeAttribute('open');
  };
  return html`${SECTIONS.map(one)}<details class="more" @click=${close} @keydown=${escape} @focusout=${left}><summary class=${here ? 'here' : ''}>${here ? html`More: ${here[1]}` : 'More'}</summary><div>${MORE.map(one)}</div></details>`;
}

/** An empty list is no good news where the servers leave out what may not be read. */
function hidden(app) {
  const by = app.hidden();
  if (!by || app.view.route.page === 'setting') return nothing;
  const settings = anchor(`${encodeURIComponent(app.view.route.dc)}/setting`, by === 'token' ? 'Use another token' : 'Use a token');
  return html`<p class="note">${by === 'token' ? 'The token in use may not read everything' : 'No token is in use, and ACLs are on'}: what may not be read is left out, also of counts. ${settings}.</p>`;
}

function lamp(app, trouble) {
  const [shape, text, tone] =
    trouble === 'away'
      ? ['✕', 'no connection', 'bad']
      : trouble
        ? ['▲', 'may be old', 'warn']
        : app.settings.isLive
          ? ['●', 'live', 'good']
          : ['◇', 'updates off', 'muted'];
  return html`<span class="lamp ${tone}"><span aria-hidden="true">${shape}</span> ${text}</span>`;
}

/** What does not answer: this agent, or the other datacenter that it asks. */
const lost = (app, said) =>
  !app.isOwn(app.view.route.dc) && /^no answer within/.test(said ?? '')
    ? html`No answer from ${name(app.view.route.dc)}`
    : 'Connection lost';

function alert(app, trouble) {
  const feeds = Object.values(app.view.feeds);
  const lastMs = Math.max(0, ...feeds.map((feed) => feed.atMs));
  const since = lastMs
    ? html` What you see is from <strong>${clockTime(performance.timeOrigin + lastMs)}</strong>.`
    : nothing;
  const said = [...feeds, app.leader].find((feed) => feed.error && feed.error.status !== 404)?.error?.message;
  const content = {
    away: () => html`<strong>${lost(app, said)}</strong>: ${said}.${since} Trying again.`,
    leaderless: () => {
      const old = Math.max(0, ...feeds.map((feed) => feed.lastContactMs)) / 1000;
      const isAlone = /No known Consul servers/i.test(said ?? '');
      return html`<strong>No leader</strong>: what you see may be old${old >= 1 ? ` (${duration(old)})` : ''}. ${isAlone ? 'This agent knows no server that answers: nothing can be changed until one does.' : 'Nothing can be changed until the servers have elected one.'}`;
    },
    errors: () => html`<strong>The agent answers with an error</strong>: ${name(said)}.${since} Trying again.`,
  }[trouble];
  return html`<div class="alerts" role="alert">${content ? html`<p class="alert ${trouble === 'away' ? 'bad' : 'warn'}">${content()}</p>` : nothing}</div>`;
}
