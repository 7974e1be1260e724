/** Prepared queries: what they ask, and what they answer now. */

import { action, facts, failure, firstOf, html, name, nothing, sameOnCommandLine, shown } from '../parts.js';
import { get, segment, withQuery } from '../api.js';
import { hostPort, visible } from '../words.js';

const path = (dc) => withQuery('/v1/query', { dc });

async function tryIt(view, query) {
  await view.act('', async () => {
    const { body } = await get(withQuery(`/v1/query/${segment(query.ID)}/execute`, { dc: view.route.dc }));
    (view.state.answers ??= new Map()).set(query.ID, body);
  });
}

function answer(body) {
  if (!body) return nothing;
  return html`<p>${body.Nodes?.length ?? 0} instances${body.Failovers ? `, after ${body.Failovers} failovers to ${body.Datacenter}` : ''}</p>
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
              <h2>${name(query.Name || query.ID)}</h2>
              ${facts([
                ['ID', html`<span class="mono">${name(query.ID)}</span>`],
                ['Service', query.Service?.Service ?? ''],
                query.Service?.Tags?.length && ['Tags', query.Service.Tags.join(', ')],
                ['Only passing', query.Service?.OnlyPassing ? 'yes' : 'no'],
                query.Service?.Near && ['Near', query.Service.Near],
                query.Template?.Type && ['Template', query.Template.Type],
              ])}
              <p class="row-of-buttons">${query.Template?.Type ? html`<span class="muted">a template is tried by a name that it matches</span>` : action(view, 'Try', () => tryIt(view, query))}</p>
              ${answer(view.state.answers?.get(query.ID))}
            </section>`), 50)
          : html`<p>There are no prepared queries.</p><pre tabindex="0">curl -X POST -d '{"Name": "nearest-web", "Service": {"Service": "web", "Near": "_agent"}}' '${location.origin}/v1/query'</pre>`,
      )}
      ${sameOnCommandLine(['', path(view.route.dc)])}`;
  },
};
