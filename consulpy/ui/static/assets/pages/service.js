/** One service: its instances, tags and intentions. */

import { firstOf, html, link, name, names, nothing, sameOnCommandLine, shown, state, tabs, to as anchor } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';
import { instancesIn, servicePath } from '../catalog.js';
import { checkState, count, firstLine, hostPort, rank, shellWord, visible, worst } from '../words.js';

const healthPath = (route) => servicePath(route.name, route.dc);
const matchPath = (route, by) => withQuery('/v1/connect/intentions/match', { by, name: route.name, dc: route.dc });

/** A failing check and the first line that it says. */
const saidBy = (check) => [check.Name, firstLine(check.Output)].filter(Boolean).join(': ');

function rows(route, instances) {
  return instances.map(({ Node, Service, Checks }) => {
    const checks = Checks ?? [];
    const states = checks.map((check) => checkState(check.Status));
    const bad = checks
      .filter((check) => check.Status !== 'passing')
      .sort((a, b) => rank(checkState(a.Status)) - rank(checkState(b.Status)));
    const dead = checks.find((check) => check.CheckID === 'serfHealth' && check.Status === 'critical');
    const address = hostPort(Service.Address || Node.Address, Service.Port);
    const tags = Service.Tags ?? [];
    const said = dead ? 'its node has failed' : bad.length ? saidBy(bad[0]) : '';
    return {
      key: `${Node.Node}\n${Service.ID}`,
      name: Service.ID,
      state: dead ? 'failed' : worst(states),
      states: [worst(states)],
      path: to.instance(route.dc, route.name, Node.Node, Service.ID),
      nodeName: Node.Node,
      nodePath: to.node(route.dc, Node.Node),
      address,
      tag: tags,
      node: [Node.Node],
      said,
      tone: said ? '' : 'quiet',
      text: `${Service.ID} ${Node.Node} ${address} ${tags.join(' ')} ${said}`.toLowerCase(),
      mark: `${states} ${said}`,
    };
  });
}

const columns = [
  { id: 'state', title: 'State', cell: (row) => state(row.state) },
  {
    id: 'name',
    title: 'Instance',
    cell: (row, tab) => html`<a href=${link(row.path)} tabindex=${tab}>${name(row.name)}</a>`,
  },
  {
    id: 'node',
    title: 'Node',
    cell: (row, tab) => html`<a href=${link(row.nodePath)} tabindex=${tab}>${name(row.nodeName)}</a>`,
    sort: (a, b) => (a.nodeName < b.nodeName ? -1 : a.nodeName > b.nodeName ? 1 : 0),
  },
  { id: 'address', title: 'Address', cell: (row) => html`<bdi class="mono">${visible(row.address)}</bdi>` },
  { id: 'tags', title: 'Tags', cell: (row) => html`<span class="muted">${names(row.tag)}</span>` },
  {
    id: 'said',
    title: 'Failing check',
    cell: (row) => html`<bdi title=${visible(row.said)}>${visible(row.said)}</bdi>`,
  },
];

function tagList(view, instances) {
  const counts = new Map();
  for (const { Service } of instances)
    for (const tag of Service.Tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  if (!counts.size) return html`<p class="muted">No instance has a tag.</p>`;
  const { dc, name: service } = view.route;
  const all = [...counts].sort();
  const list = (some) => html`<ul class="plain">
    ${some.map(
      ([tag, number]) => html`<li>
      <a href=${link(`${to.service(dc, service)}?filter=${encodeURIComponent(`tag:${tag}`)}`)}>${name(tag)}</a> <span class="muted">${number} of ${count(instances.length, 'instance')}</span>
    </li>`,
    )}
  </ul>`;
  return firstOf(view, 'tags', all, list);
}

function intentions(view) {
  const { dc, name: service } = view.route;
  const list = (feed, heading, none) => html`<h2>${heading}</h2>
    ${shown(view, feed, (body) => {
      const found = body?.[service] ?? [];
      if (!found.length) return html`<p class="muted">${none}</p>`;
      return firstOf(view, heading, found, (some) => html`<ul class="plain">${some.map(
        (each) => html`<li>
        ${each.Action === 'allow' ? html`<span class="state good"><span aria-hidden="true">✓</span> allow</span>` : html`<span class="state bad"><span aria-hidden="true">✕</span> deny</span>`}
        ${anchor(to.intention(dc, each.ID), html`${name(each.SourceName)} to ${name(each.DestinationName)}`)}
      </li>`,
      )}</ul>`);
    })}`;
  return html`${list(view.feeds.into, 'Who may connect to it', 'No intention has this service as its destination.')}
    ${list(view.feeds.out, 'What it may connect to', 'No intention has this service as its source.')}
    <p>${anchor(`${to.section(dc, 'intentions')}/create?destination=${encodeURIComponent(service)}`, 'Create an intention')}</p>`;
}

export const page = {
  title: (route) => `${visible(route.name)} - Services`,
  feeds: (route) =>
    route.tab === 'intentions'
      ? {
          into: { path: matchPath(route, 'destination'), pollMs: 15000 },
          out: { path: matchPath(route, 'source'), pollMs: 15000 },
        }
      : { instances: healthPath(route) },
  start(view) {
    view.table = new Table(view, {
      name: 'Instances',
      one: 'instance',
      columns,
      kind: 'of-instances',
      states: ['critical', 'warning', 'passing'],
      empty: () => html`<p>No service of this name is in the catalog.</p>`,
    });
  },
  render(view) {
    const { route, feeds } = view;
    const path = (tab) => to.service(route.dc, route.name, tab);
    if (feeds.instances?.body)
      view.table.update(
        view.memo('rows', [feeds.instances.version], () => rows(route, instancesIn(feeds.instances.body, route.name))),
      );
    const content = {
      instances: () => html`${view.table.tools()} ${shown(view, feeds.instances, () => view.table.render())}`,
      tags: () => shown(view, feeds.instances, (body) => tagList(view, instancesIn(body, route.name))),
      intentions: () => intentions(view),
    }[route.tab];
    return html`<h1>${name(route.name)} ${feeds.instances?.body && route.tab === 'instances' ? html`<span class="sum">${view.table.summary}</span>` : nothing}</h1>
      ${tabs(
        'Service',
        [
          ['instances', 'Instances', path('instances')],
          ['tags', 'Tags', path('tags')],
          ['intentions', 'Intentions', path('intentions')],
        ],
        route.tab,
      )}
      ${content()}
      ${sameOnCommandLine([`dig @127.0.0.1 -p 8600 ${shellWord(`${route.name}.service.${view.app.isOwn(route.dc) ? '' : `${route.dc}.`}consul`)} SRV`, healthPath(route)])}`;
  },
};
