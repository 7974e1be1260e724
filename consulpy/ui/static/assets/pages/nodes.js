/** All nodes: catalog and gossip together, in every state. */

import { ago, command, html, link, name, note, nothing, sameOnCommandLine, shown, state } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';
import { DISAGREE_MS, FORGET_FAILED_MS, forgottenAt, merge } from '../members.js';
import { milliseconds, nearest } from '../map.js';
import { duration, goSeconds, visible } from '../words.js';
import { checkCounts } from './services.js';

const path = (dc) => withQuery('/v1/internal/ui/nodes', { dc });

function stateCell(row) {
  const isGone = row.member === 'failed' || row.member === 'left';
  const more = isGone || row.health === 'passing' || row.health === 'no checks' ? nothing : state(row.health);
  return html`${state(row.member)}${more}`;
}

function nameCell(row, tab) {
  return html`<a href=${link(row.path)} tabindex=${tab}>${name(row.name)}</a>${row.role ? html` <span class="tag">${row.role}</span>` : nothing}
    ${row.isStrange ? html` <span class="state warn"><span aria-hidden="true">▲</span> ${row.disagreement}</span>` : nothing}`;
}

function sinceCell(row) {
  if (!row.sinceMs) return nothing;
  const leftMs = row.forgetMs - Date.now();
  return html`${ago(row.sinceMs)}${row.forgetMs ? html`<span class="muted">, forgotten in ${duration(leftMs / 1000)}</span>` : nothing}`;
}

const columns = [
  { id: 'state', title: 'State', cell: stateCell },
  { id: 'name', title: 'Name', cell: nameCell },
  { id: 'address', title: 'Address', cell: (row) => html`<bdi class="mono">${visible(row.address)}</bdi>` },
  {
    id: 'checks',
    title: 'Checks',
    cell: (row) => checkCounts(row.checks),
    sort: (a, b) => a.checks.critical - b.checks.critical || a.checks.passing - b.checks.passing,
  },
  {
    id: 'version',
    title: 'Version',
    cell: (row) => visible(row.version),
    sort: (a, b) => (a.version < b.version ? -1 : a.version > b.version ? 1 : 0),
  },
  { id: 'since', title: 'Since', cell: sinceCell, sort: (a, b) => a.sinceMs - b.sinceMs },
  {
    id: 'rtt',
    title: 'Round trip',
    cell: (row) => (row.rttMs === undefined ? '' : milliseconds(row.rttMs)),
    sort: (a, b) => (a.rttMs ?? Infinity) - (b.rttMs ?? Infinity),
  },
];

function rows(view) {
  const { route, app, feeds } = view;
  const isOwn = app.isOwn(route.dc);
  const found = merge(
    feeds.nodes.body,
    isOwn ? feeds.members.body : undefined,
    (isOwn && feeds.changes.body) || [],
    app.leader.body ?? '',
  );
  const trips = new Map(
    nearest(feeds.coordinates.body ?? [], app.own?.NodeName).map(({ name: other, ms }) => [other, ms]),
  );
  const reconnectMs = 1000 * goSeconds(app.self.body?.DebugConfig?.ReconnectTimeoutLAN) || FORGET_FAILED_MS;
  const nowMs = performance.now();
  const since = (view.state.strangeSince ??= new Map());
  for (const row of found) {
    row.path = to.node(route.dc, row.name);
    row.rttMs = trips.get(row.name);
    row.forgetMs = forgottenAt(row.member, row.sinceMs, reconnectMs);
    if (!row.disagreement) since.delete(row.name);
    else {
      if (!since.has(row.name)) since.set(row.name, nowMs);
      row.isStrange = nowMs - since.get(row.name) > DISAGREE_MS;
    }
  }
  return found;
}

export const page = {
  title: () => 'Nodes',
  feeds: (route) => ({
    nodes: path(route.dc),
    members: { path: '/v1/agent/members', optional: true },
    changes: { path: '/v1/agent/timeline', once: true, optional: true },
    coordinates: { path: withQuery('/v1/coordinate/nodes', { dc: route.dc }), once: true, optional: true },
  }),
  changed(view, feed) {
    if (feed !== 'members') return;
    if (view.state.membersVersion !== undefined && view.state.membersVersion !== view.feeds.members.version) {
      for (const each of ['changes', 'coordinates']) view.feeds[each].again();
      view.app.leader.again();
    }
    view.state.membersVersion = view.feeds.members.version;
  },
  start(view) {
    view.table = new Table(view, {
      name: 'Nodes',
      one: 'node',
      columns,
      kind: 'of-nodes',
      states: ['failed', 'left', 'alive', 'leaving', 'external', 'critical', 'warning', 'passing'],
      placeholder: 'name, address, version, service, -word',
      empty: () => html`<p>No node is in the catalog.</p><pre tabindex="0">consulpy join ADDRESS</pre>`,
    });
  },
  render(view) {
    const { feeds, route } = view;
    const versions = Object.values(feeds).map((feed) => feed.version);
    const minute = view.state.strangeSince?.size ? Math.floor(performance.now() / 15000) : 0;
    // Members that have no answer yet would make every node look like a stranger for a moment.
    const isReady = feeds.nodes.body && (feeds.members.body || feeds.members.error || !view.app.isOwn(route.dc));
    if (isReady)
      view.table.update(
        view.memo('rows', [...versions, view.app.self.version, view.app.leader.version, minute], () => rows(view)),
      );
    const isElsewhere = !view.app.isOwn(route.dc);
    return html`<h1>Nodes ${isReady ? html`<span class="sum">${view.table.summary}</span>` : nothing}</h1>
      ${isElsewhere ? note('This agent is in another datacenter: only what the catalog says is shown, not the gossip pool.') : nothing}
      ${feeds.members.error?.status === 403 ? note('The token in use may not read the members of the pool: only what the catalog says is shown.') : nothing}
      ${view.table.tools()} ${shown(view, feeds.nodes, () => (isReady ? view.table.render() : nothing))}
      ${sameOnCommandLine(isElsewhere ? [] : ['consulpy members -detailed', '/v1/agent/members'], [command(view, 'consulpy catalog nodes -detailed'), path(route.dc)])}`;
  },
};
