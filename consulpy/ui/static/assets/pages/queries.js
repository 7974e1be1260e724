/** Prepared queries: what they ask, and what they answer now. */

import { action, facts, failure, firstOf, html, name, nothing, sameOnCommandLine, shown } from '../parts.js';
import { get, segment, withQuery } from '../api.js';
import { count, hostPort, visible } from '../words.js';

const path = (dc) => withQuery('/v1/query', { dc });

async function tryIt(view, query) {
  await view.act('', async () => {
    const { body } = await get(withQuery(`/v1/query/${segment(query.ID)}/execute`, { dc: view.route.dc }));
    (view.state.answers ??= new Map()).set(query.ID, body);
  });
}

const pairs = (map) =>
  Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');

/**
 * What a query asks, as names and values.
 * @param {{Service?: any, Template?: any, DNS?: any, Session?: string}} query
 */
function asked(query) {
  const service = query.Service ?? {};
  const { NearestN: nearest, Datacenters: datacenters } = service.Failover ?? {};
  const others = [nearest ? `the nearest ${count(nearest, 'datacenter')}` : '', ...(datacenters ?? [])];
  const values = [
    ['Service', service.Service ?? ''],
    ['Tags', (service.Tags ?? []).join(', ')],
    ['Only passing', service.OnlyPassing ? 'yes' : 'no'],
    ['Connect', service.Connect ? 'yes' : ''],
    ['Near', service.Near],
    ['Node metadata', pairs(service.NodeMeta)],
    ['Service metadata', pairs(service.ServiceMeta)],
    ['Checks that do not count', (service.IgnoreCheckIDs ?? []).join(', ')],
    ['If there is none, from', others.filter(Boolean).join(', ')],
    ['TTL of DNS', query.DNS?.TTL],
    ['Template', query.Template?.Type],
    ['Matches', query.Template?.Regexp],
    ['Lives as long as session', query.Session],
  ];
  return values.filter(([term, value]) => value || term === 'Service');
}

function answer(body) {
  if (!body) return nothing;
  return html`<p>${count(body.Nodes?.length ?? 0, 'instance')}${body.Failovers ? html`, after ${count(body.Failovers, 'failover')} to ${name(body.Datacenter)}` : nothing}</p>
    <ul class="plain">${(body.Nodes ?? []).slice(0, 50).map(({ Node, Service }) => html`<li><bdi class="mono">${visible(hostPort(Service.Address || Node.Address, Service.Port))}</bdi> ${name(Node.Node)}</li>`)}</ul>`;
}

export const page = {
  title: () => 'Queries',
  feeds: (route) => ({ queries: path(route.dc) }),
  render(view) {
    return html`<h1>Prepared queries</h1>
      ${failure(view.failed)}
      ${shown(view, view.feeds.queries, (body) =>
        body?.length
          ? firstOf(view, 'queries', body, (some) => some.map((query) => html`<section aria-label=${visible(query.Name || query.ID)}>
              <h2>${query.Name || !query.Template?.Type ? name(query.Name || query.ID) : html`<em>every other name</em>`}</h2>
              ${facts([
                ['ID', html`<span class="mono">${name(query.ID)}</span>`],
                ...asked(query),
              ])}
              <p class="row-of-buttons">${query.Template?.Type ? html`<span class="muted">a template is tried by a name that it matches</span>` : action(view, 'Try', () => tryIt(view, query))}</p>
              ${answer(view.state.answers?.get(query.ID))}
            </section>`), 50)
          : view.app.hidden()
            ? html`<p>No query that may be read.</p>`
            : html`<p>There are no prepared queries.</p><pre tabindex="0">curl -X POST -d '{"Name": "nearest-web", "Service": {"Service": "web", "Near": "_agent"}}' '${location.origin}/v1/query'</pre>`,
      )}
      ${sameOnCommandLine(['', path(view.route.dc)])}`;
  },
};
