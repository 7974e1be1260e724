/** One instance of a service: every check with its output, metadata, addresses. */

import { facts, firstOf, html, labels, metadata, name, nothing, sameOnCommandLine, shown, state, tabs, to as anchor } from '../parts.js';
import { to } from '../routes.js';
import { nodeIn, nodePath } from '../catalog.js';
import { checkSections } from '../checks.js';
import { checkState, hostPort, visible, worst } from '../words.js';

/** Tags that are drawn at once. */
const TAGS = 50;

const path = (route) => nodePath(route.node, route.dc);

function addresses(node, service) {
  const tagged = Object.entries(service.TaggedAddresses ?? {});
  return facts([
    ['Address', hostPort(service.Address || node.Address, service.Port)],
    ['Of the node', node.Address],
    ...tagged.map(([tag, at]) => [name(tag), hostPort(at.Address, at.Port)]),
  ]);
}

function draw(view, node) {
  const { route } = view;
  const service = (node.Services ?? []).find((each) => each.ID === route.id);
  if (!service)
    return html`<p class="note">No service with the ID ${name(route.id)} is registered on ${anchor(to.node(route.dc, route.node), name(route.node))}.</p>`;
  const checks = (node.Checks ?? []).filter((check) => check.ServiceID === route.id || !check.ServiceID);
  const isDead = checks.some((check) => check.CheckID === 'serfHealth' && check.Status === 'critical');
  const at = (tab) => to.instance(route.dc, route.name, route.node, route.id, tab);
  return html`
    ${facts([
      ['State', state(isDead ? 'failed' : worst(checks.map((check) => checkState(check.Status))))],
      ['Service', anchor(to.service(route.dc, route.name), name(route.name))],
      ['Node', anchor(to.node(route.dc, route.node), name(route.node))],
      ['Address', html`<bdi class="mono">${visible(hostPort(service.Address || node.Address, service.Port))}</bdi>`],
      service.Kind && ['Kind', service.Kind],
      service.Tags?.length && [
        'Tags',
        firstOf(view, 'tags', service.Tags, (some) => labels(some, Infinity), TAGS),
      ],
    ])}
    ${isDead ? html`<p class="note">The node has failed: what its own checks say is the last that it reported. ${anchor(to.node(route.dc, route.node), 'Why it failed')}</p>` : nothing}
    ${tabs(
      'Instance',
      [
        ['health-checks', 'Health checks', at('health-checks')],
        ['metadata', 'Metadata', at('metadata')],
        ['addresses', 'Addresses', at('addresses')],
      ],
      route.tab,
    )}
    ${{
      'health-checks': () => checkSections(view, checks),
      metadata: () => metadata(service.Meta, 'This instance has no metadata.'),
      addresses: () => addresses(node, service),
    }[route.tab]()}`;
}

export const page = {
  title: (route) => `${visible(route.id)} - Services`,
  feeds: (route) => ({ node: path(route) }),
  render(view) {
    const { route } = view;
    const { body, error } = view.feeds.node;
    const isMissing = error?.status === 404 || (body && !nodeIn(body, route.node));
    return html`<h1>${name(route.id)}</h1>
      ${isMissing ? html`<p class="note">No node of the name ${name(route.node)} is in the catalog.</p>` : shown(view, view.feeds.node, () => draw(view, nodeIn(body, route.node)))}
      ${sameOnCommandLine(['', path(route)])}`;
  },
};
