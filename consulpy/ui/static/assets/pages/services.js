/** All services, the worst first. */

import { command, html, link, name, names, sameOnCommandLine, shown, state } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';

const path = (dc) => withQuery('/v1/internal/ui/services', { dc });

/** Rows of a list of services out of their summaries. */
export function serviceRows(dc, summaries) {
  return summaries.map((one) => {
    const { ChecksPassing: passing, ChecksWarning: warning, ChecksCritical: critical } = one;
    const tags = one.Tags ?? [];
    return {
      key: one.Name,
      name: one.Name,
      state: critical ? 'critical' : warning ? 'warning' : passing ? 'passing' : 'no checks',
      path: to.service(dc, one.Name),
      passing,
      warning,
      critical,
      instances: one.InstanceCount,
      kind: one.Kind ?? '',
      tag: tags,
      node: one.Nodes ?? [],
      text: `${one.Name} ${tags.join(' ')} ${one.Kind ?? ''} ${(one.ExternalSources ?? []).join(' ')}`.toLowerCase(),
      mark: `${passing} ${warning} ${critical} ${one.InstanceCount}`,
    };
  });
}

/** Counts of checks in words. */
export function checkCounts({ passing, warning, critical }) {
  const said = [
    critical && `${critical} critical`,
    warning && `${warning} warning`,
    passing && `${passing} passing`,
  ].filter(Boolean);
  return said.join(', ') || 'none';
}

const columns = [
  { id: 'state', title: 'State', cell: (row) => state(row.state) },
  {
    id: 'name',
    title: 'Name',
    cell: (row, tab) =>
      html`<a href=${link(row.path)} tabindex=${tab}>${name(row.name)}</a>${row.kind ? html` <span class="tag">${row.kind}</span>` : ''}`,
  },
  {
    id: 'checks',
    title: 'Checks',
    cell: checkCounts,
    sort: (a, b) => a.critical - b.critical || a.warning - b.warning || a.passing - b.passing,
  },
  { id: 'instances', title: 'Instances', cell: (row) => row.instances, sort: (a, b) => a.instances - b.instances },
  { id: 'tags', title: 'Tags', cell: (row) => html`<span class="muted">${names(row.tag, 6)}</span>` },
];

export const page = {
  title: () => 'Services',
  feeds: (route) => ({ services: path(route.dc) }),
  start(view) {
    view.table = new Table(view, {
      name: 'Services',
      one: 'service',
      columns,
      kind: 'of-services',
      states: ['critical', 'warning', 'passing'],
      placeholder: 'name, tag:v1, node:n1, status:critical, -word',
      empty: () =>
        html`<p>No services are registered in this datacenter.</p><pre tabindex="0">consulpy services register -name=web -port=8080</pre>`,
    });
  },
  render(view) {
    const { services } = view.feeds;
    const { dc } = view.route;
    if (services.body) view.table.update(view.memo('rows', [services.version], () => serviceRows(dc, services.body)));
    return html`<h1>Services ${services.body ? html`<span class="sum">${view.table.summary}</span>` : ''}</h1>
      ${view.table.tools()} ${shown(view, services, () => view.table.render())}
      ${sameOnCommandLine([command(view, 'consulpy catalog services -tags'), path(dc)])}`;
  },
};
