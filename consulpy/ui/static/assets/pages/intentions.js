/** Intentions: which service may connect to which, in the order in which they apply. */

import { html, link, name, nothing, sameOnCommandLine, shown } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';
import { visible } from '../words.js';

const path = (dc) => withQuery('/v1/connect/intentions', { dc });

/** `allow` or `deny` with its shape. */
export const verdict = (action) =>
  action === 'allow'
    ? html`<span class="state good"><span aria-hidden="true">✓</span> allow</span>`
    : html`<span class="state bad"><span aria-hidden="true">✕</span> ${action}</span>`;

const every = (service) => (service === '*' ? html`<em>* (every service)</em>` : name(service));

const columns = [
  {
    id: 'action',
    title: 'Action',
    cell: (row) => verdict(row.action),
    sort: (a, b) => (a.action < b.action ? -1 : a.action > b.action ? 1 : 0),
  },
  {
    id: 'name',
    title: 'Source',
    cell: (row, tab) => html`<a href=${link(row.path)} tabindex=${tab}>${every(row.source)}</a>`,
  },
  {
    id: 'destination',
    title: 'Destination',
    cell: (row) => html`<span aria-hidden="true">→ </span>${every(row.destination)}`,
    sort: (a, b) => (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0),
  },
  { id: 'precedence', title: 'Precedence', cell: (row) => row.precedence, sort: (a, b) => b.precedence - a.precedence },
  {
    id: 'description',
    title: 'Description',
    cell: (row) => html`<bdi class="muted">${visible(row.description)}</bdi>`,
  },
];

const rows = (dc, intentions) =>
  intentions.map((each) => ({
    key: each.ID,
    name: each.SourceName,
    source: each.SourceName,
    destination: each.DestinationName,
    action: each.Action,
    precedence: each.Precedence,
    description: each.Description ?? '',
    path: to.intention(dc, each.ID),
    state: '',
    mark: `${each.Action}`,
    text: `${each.SourceName} ${each.DestinationName} ${each.Action} ${each.Description ?? ''}`.toLowerCase(),
  }));

export const page = {
  title: () => 'Intentions',
  feeds: (route) => ({ intentions: path(route.dc) }),
  start(view) {
    view.table = new Table(view, {
      name: 'Intentions',
      one: 'intention',
      columns,
      kind: 'of-intentions',
      order: (a, b) => b.precedence - a.precedence,
      empty: () =>
        html`<p>There are no intentions: by the default policy of ACLs either every service may connect or none.</p><pre tabindex="0">consulpy intention create -allow web db</pre>`,
    });
  },
  render(view) {
    const { intentions } = view.feeds;
    const { dc } = view.route;
    if (intentions.body) view.table.update(view.memo('rows', [intentions.version], () => rows(dc, intentions.body)));
    return html`<h1>Intentions ${intentions.body ? html`<span class="sum">${view.table.summary}</span>` : nothing}</h1>
      ${view.table.tools(html`<a class="button" href=${link(to.intention(dc, 'create'))}>Create</a>`)}
      ${shown(view, intentions, () => view.table.render())}
      ${sameOnCommandLine(['', path(dc)])}`;
  },
};
