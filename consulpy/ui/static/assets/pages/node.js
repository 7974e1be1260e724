/** One node: why it failed first, then its checks, services, round trips, sessions and metadata. */

import {
  action,
  facts,
  failure,
  firstOf,
  html,
  labels,
  metadata,
  name,
  nothing,
  note,
  sameOnCommandLine,
  shown,
  state,
  tabs,
  to as anchor,
} from '../parts.js';
import { to } from '../routes.js';
import { isAddressable, segment, send, withQuery } from '../api.js';
import { nodeIn, nodePath } from '../catalog.js';
import { ask } from '../dialog.js';
import { checkSections } from '../checks.js';
import { timelineList } from '../timeline.js';
import { byName } from '../list.js';
import { role, version } from '../members.js';
import { milliseconds, nearest } from '../map.js';
import { sentence } from '../why.js';
import { MEMBER, checkState, commandLine, hostPort, localTimes, rank, visible, worst } from '../words.js';

/** Tags of an instance that are drawn in the list. */
const TAGS = 10;

const catalogPath = (route) => nodePath(route.name, route.dc);
const timelinePath = (route) => `/v1/agent/timeline/${encodeURIComponent(route.name)}`;

const memberOf = (view) =>
  view.app.isOwn(view.route.dc)
    ? (view.feeds.members.body ?? []).find((each) => each.Name === view.route.name)
    : undefined;

const whyNoTimeline = (error) =>
  /^No member/.test(error.message)
    ? 'It failed before this agent began, which has never seen it: agents that run for longer tell why.'
    : 'This agent has no timeline of its members: a consulpy agent tells who suspected a node, and why.';

function whyFailed(view, word) {
  const { timeline } = view.feeds;
  if (!timeline) return note('No address of the API can hold this name, so its timeline cannot be asked for.');
  if (word === 'alive' && !timeline.body) return nothing;
  if (timeline.error?.status === 403) return note('The token in use may not read the timeline of members.');
  if (timeline.error) return word === 'failed' ? note(whyNoTimeline(timeline.error)) : nothing;
  if (!timeline.body)
    return html`<h2>Why ${word}</h2><p class="muted">Asking for its timeline, and pinging it; 3 s at most.</p>`;
  const { Events: events = [], verdict } = timeline.body;
  const isWell = word === 'alive';
  const said = isWell ? '' : sentence(events);
  return html`
    ${isWell && verdict?.cause === 'healthy' ? nothing : html`<h2>${isWell ? 'What is wrong' : `Why ${word}`}</h2>`}
    ${said ? html`<p class="why">${name(said)}</p>` : nothing}
    ${
      verdict && !(isWell && verdict.cause === 'healthy')
        ? html`<p class="why"><span class="tag">${verdict.cause}</span> ${name(localTimes(verdict.text))}</p>
          ${verdict.evidence?.length ? html`<details><summary>What was seen</summary><ul>${verdict.evidence.map((each) => html`<li>${name(localTimes(each))}</li>`)}</ul></details>` : nothing}`
        : nothing
    }
    <h2>Timeline</h2>
    ${timelineList(view.route.dc, events, view.route.tab === 'timeline' ? Infinity : 8)}`;
}

function checks(view, node) {
  // the summary has services below them
  return checkSections(view, node.Checks ?? [], view.route.tab === '' ? 20 : undefined);
}

function services(view, node, isDead) {
  const found = byName((node.Services ?? []).map((each) => ({ ...each, name: each.ID, key: each.ID })));
  if (!found.length) return html`<p class="muted">No service is registered on it.</p>`;
  const stateOf = (service) =>
    isDead
      ? 'failed'
      : worst(
          (node.Checks ?? [])
            .filter((check) => !check.ServiceID || check.ServiceID === service.ID)
            .map((check) => checkState(check.Status)),
        );
  const rows = found.map((service) => [stateOf(service), service]).sort((a, b) => rank(a[0]) - rank(b[0]));
  return firstOf(
    view,
    'services',
    rows,
    (some) => html`<ul class="plain" aria-label="Service instances">
    ${some.map(
      ([
        word,
        service,
      ]) => html`<li>${state(word)} ${anchor(to.instance(view.route.dc, service.Service, view.route.name, service.ID), name(service.ID))}
      <bdi class="mono">${visible(hostPort(service.Address || node.Address, service.Port))}</bdi>
      ${labels(service.Tags ?? [], TAGS)}</li>`,
    )}
  </ul>`,
    view.route.tab === '' ? 50 : 100,
  );
}

function trips(view) {
  return shown(view, view.feeds.coordinates, (body) => {
    const found = nearest(body ?? [], view.route.name);
    if (!found.length)
      return html`<p class="muted">There is no round trip to show: agents send their coordinates after some 15 s.</p>`;
    return html`<table><caption class="hidden">Round trips</caption><thead><tr><th scope="col">To</th><th scope="col" class="number">Round trip</th></tr></thead>
      <tbody>${found.slice(0, 200).map((each) => html`<tr><td>${anchor(to.node(view.route.dc, each.name), name(each.name))}</td><td class="number">${milliseconds(each.ms)}</td></tr>`)}</tbody></table>
      ${found.length > 200 ? html`<p class="muted">The nearest 200 of ${found.length}.</p>` : nothing}`;
  });
}

function sessions(view) {
  if (!view.feeds.sessions)
    return note('No address of the API can hold this name, so its sessions cannot be asked for.');
  return shown(view, view.feeds.sessions, (body) =>
    body?.length
      ? firstOf(view, 'sessions', body, (some) => html`<ul class="plain">${some.map((each) => html`<li>${anchor(`${to.section(view.route.dc, 'sessions')}?filter=${encodeURIComponent(each.ID)}`, html`<span class="mono">${name(each.ID)}</span>`)} ${name(each.Name)} <span class="muted">${each.Behavior} ${each.TTL}</span></li>`)}</ul>`)
      : html`<p class="muted">It holds no session.</p>`,
  );
}

function actions(view) {
  const { name: node, dc } = view.route;
  const leave = async (isPrune) => {
    const label = isPrune ? 'Force leave and forget' : 'Force leave';
    const body = html`<p>Node <strong>${name(node)}</strong> is taken for left${isPrune ? ' and forgotten by all members at once' : ''}. One that is alive comes back by itself; to undo it, start its agent again.</p>`;
    if (!(await ask({ title: `${label}: ${visible(node)}`, body, danger: label }))) return;
    await view.act(`${visible(node)} was told to leave`, () =>
      send('PUT', `/v1/agent/force-leave/${segment(node)}${isPrune ? '?prune' : ''}`),
    );
  };
  const isSelf = view.app.own?.NodeName === node;
  const inMaintenance = (nodeIn(view.feeds.node.body, node)?.Checks ?? []).some(
    (check) => check.CheckID === '_node_maintenance',
  );
  const maintain = async () => {
    const label = inMaintenance ? 'Leave maintenance' : 'Maintenance';
    const body = html`<p>${inMaintenance ? html`Node <strong>${name(node)}</strong> and its services are offered again.` : html`Node <strong>${name(node)}</strong> gets a critical check: none of its services is offered until maintenance is left, here or by <code>consulpy maint -disable</code>.`}</p>`;
    if (!(await ask({ title: `${label}: ${visible(node)}`, body, danger: label }))) return;
    await view.act(label, () =>
      send(
        'PUT',
        withQuery('/v1/agent/maintenance', {
          enable: String(!inMaintenance),
          reason: inMaintenance ? '' : 'set on the web page',
        }),
      ),
    );
  };
  const isMember = Boolean(memberOf(view));
  if (!view.app.isOwn(dc) || (!isMember && !isSelf)) return nothing;
  return html`<details class="actions"><summary>Actions</summary>
    <p class="row-of-buttons">
      ${isMember ? html`${action(view, 'Force leave', () => leave(false), { danger: true })} ${action(view, 'Force leave and forget', () => leave(true), { danger: true })}` : nothing}
      ${isSelf ? action(view, inMaintenance ? 'Leave maintenance' : 'Maintenance', maintain) : nothing}
    </p>
    ${failure(view.failed)}</details>`;
}

const TITLES = [
  ['', 'Summary'],
  ['timeline', 'Timeline'],
  ['health-checks', 'Health checks'],
  ['service-instances', 'Service instances'],
  ['round-trip-time', 'Round trips'],
  ['lock-sessions', 'Lock sessions'],
  ['metadata', 'Metadata'],
];

function summary(view, node, word) {
  return html`${whyFailed(view, word)}
    ${node ? html`<h2>Health checks</h2>${checks(view, node)}<h2>Services</h2>${services(view, node, word === 'failed')}` : nothing}`;
}

function tags(member) {
  return member ? html`<h2>Gossip tags</h2>${metadata(member.Tags, 'It has no tags.')}` : nothing;
}

function draw(view, node, member) {
  const { route } = view;
  const isDead = (node?.Checks ?? []).some((check) => check.CheckID === 'serfHealth' && check.Status === 'critical');
  const word = member
    ? (MEMBER[member.Status] ?? 'unknown')
    : isDead
      ? 'failed'
      : (node?.Checks ?? []).some((check) => check.CheckID === 'serfHealth')
        ? 'alive'
        : 'external';
  const position = role(member, view.app.leader.body ?? '') || (member ? 'client' : '');
  const content = {
    '': () => summary(view, node, word),
    timeline: () => whyFailed(view, word),
    'health-checks': () => (node ? checks(view, node) : nothing),
    'service-instances': () => (node ? services(view, node, word === 'failed') : nothing),
    'round-trip-time': () => trips(view),
    'lock-sessions': () => sessions(view),
    metadata: () => html`${metadata(node?.Meta, 'This node has no metadata.')} ${tags(member)}`,
  }[route.tab];
  return html`
    ${facts([
      [
        'State',
        html`${state(word)}${!['failed', 'left'].includes(word) && node ? state(worst((node.Checks ?? []).map((check) => checkState(check.Status)))) : nothing}`,
      ],
      ['Address', html`<bdi class="mono">${visible(node?.Address ?? member.Addr)}</bdi>`],
      position && ['Role', position],
      member && ['Version', version(member.Tags)],
      node?.ID && ['Node ID', html`<span class="mono">${visible(node.ID)}</span>`],
    ])}
    ${!node ? note('It is in the gossip pool, but not in the catalog.') : nothing}
    ${node && !member && view.app.isOwn(route.dc) && view.feeds.members.body && isAgent(node) ? note('It is in the catalog, but not in the gossip pool of this agent.') : nothing}
    ${actions(view)}
    ${tabs(
      'Node',
      TITLES.map(([id, text]) => [id, text, to.node(route.dc, route.name, id)]),
      route.tab,
    )}
    ${content()}`;
}

const isAgent = (node) => (node.Checks ?? []).some((check) => check.CheckID === 'serfHealth');

function missing(view) {
  const wanted = view.route.name.toLowerCase();
  const close = (view.feeds.members.body ?? [])
    .filter((each) => each.Name.toLowerCase().startsWith(wanted.slice(0, 3)))
    .slice(0, 5);
  return html`<p class="note">No node of this name ${view.app.hidden() ? 'that may be read ' : ''}is in the catalog or in the pool.</p>
    ${close.length ? html`<p>Close to it: ${close.map((each) => html`${anchor(to.node(view.route.dc, each.Name), name(each.Name))} `)}</p>` : nothing}`;
}

export const page = {
  title: (route) => `${visible(route.name)} - Nodes`,
  feeds: (route) => ({
    node: catalogPath(route),
    members: { path: '/v1/agent/members', once: true, optional: true },
    ...(['', 'timeline'].includes(route.tab) &&
      isAddressable(route.name) && { timeline: { path: timelinePath(route), optional: true, pollMs: 15000 } }),
    ...(route.tab === 'round-trip-time' && {
      coordinates: { path: withQuery('/v1/coordinate/nodes', { dc: route.dc }), pollMs: 15000 },
    }),
    ...(route.tab === 'lock-sessions' &&
      isAddressable(route.name) && {
        sessions: withQuery(`/v1/session/node/${segment(route.name)}`, { dc: route.dc }),
      }),
  }),
  changed(view, feed) {
    if (feed !== 'node' && feed !== 'timeline') return;
    const now = `${view.feeds.node.version} ${view.feeds.timeline?.version}`;
    if (view.state.seen && view.state.seen !== now) view.feeds.members.again();
    view.state.seen = now;
  },
  render(view) {
    const { route, feeds } = view;
    const member = memberOf(view);
    const node = nodeIn(feeds.node.body, route.name);
    const isMissing = feeds.node.error?.status === 404 || (feeds.node.body && !node);
    const isKnown = node || (isMissing && member);
    let content;
    if (isKnown) content = draw(view, node, member);
    else if (isMissing) content = feeds.members.body || feeds.members.error ? missing(view) : nothing;
    else content = shown(view, feeds.node, () => nothing);
    return html`<h1>${name(route.name)}</h1>
      ${content}
      ${sameOnCommandLine(view.app.isOwn(route.dc) ? [commandLine('consulpy why', [route.name]), timelinePath(route)] : [], ['', catalogPath(route)])}`;
  },
};
