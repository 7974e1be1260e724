/** Sessions: who holds locks. */

import { action, failure, html, link, name, nothing, sameOnCommandLine, shown } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { segment, send, withQuery } from '../api.js';
import { ask } from '../dialog.js';
import { visible } from '../words.js';

const path = (dc) => withQuery('/v1/session/list', { dc });

async function destroy(view, row) {
  const body = html`<p>Session <code>${visible(row.name)}</code> ${row.title ? html`(<strong>${name(row.title)}</strong>)` : nothing} of node ${name(row.nodeName)} ends. Its locks are ${row.behavior === 'delete' ? 'deleted with their keys' : 'released'}; its holder has to make a new one.</p>`;
  if (!(await ask({ title: 'Destroy the session', body, danger: 'Destroy' }))) return;
  await view.act('The session was destroyed', () =>
    send('PUT', withQuery(`/v1/session/destroy/${segment(row.name)}`, { dc: view.route.dc })),
  );
}

const columns = (view) => [
  { id: 'name', title: 'ID', cell: (row, tab) => html`<span class="mono" tabindex=${tab}>${name(row.name)}</span>` },
  { id: 'title', title: 'Name', cell: (row) => name(row.title), sort: (a, b) => (a.title < b.title ? -1 : a.title > b.title ? 1 : 0) },
  {
    id: 'node',
    title: 'Node',
    cell: (row, tab) => html`<a href=${link(row.nodePath)} tabindex=${tab}>${name(row.nodeName)}</a>`,
  },
  { id: 'behavior', title: 'Behaviour', cell: (row) => row.behavior },
  { id: 'ttl', title: 'TTL', cell: (row) => row.ttl || 'none' },
  { id: 'destroy', title: '', cell: (row) => action(view, 'Destroy', () => destroy(view, row)) },
];

const rows = (dc, sessions) =>
  sessions.map((each) => ({
    key: each.ID,
    name: each.ID,
    title: each.Name,
    nodeName: each.Node,
    nodePath: to.node(dc, each.Node),
    node: [each.Node],
    behavior: each.Behavior,
    ttl: each.TTL,
    text: `${each.ID} ${each.Name} ${each.Node}`.toLowerCase(),
    state: '',
    mark: '',
  }));

export const page = {
  title: () => 'Sessions',
  feeds: (route) => ({ sessions: path(route.dc) }),
  start(view) {
    view.table = new Table(view, {
      name: 'Sessions',
      one: 'session',
      columns: columns(view),
      kind: 'of-sessions',
      empty: () =>
        html`<p>There are no sessions: nothing holds a lock.</p><pre tabindex="0">consulpy lock PREFIX COMMAND</pre>`,
    });
  },
  render(view) {
    const { sessions } = view.feeds;
    if (sessions.body)
      view.table.update(view.memo('rows', [sessions.version], () => rows(view.route.dc, sessions.body)));
    return html`<h1>Sessions ${sessions.body ? html`<span class="sum">${view.table.summary}</span>` : nothing}</h1>
      ${view.table.tools()} ${failure(view.failed)} ${shown(view, sessions, () => view.table.render())}
      ${sameOnCommandLine(['', path(view.route.dc)])}`;
  },
};
