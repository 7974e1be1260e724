/** What is wrong now: failed nodes and why, services in trouble, servers, the last changes. */

import {
  ago,
  failure,
  html,
  link,
  moment,
  name,
  nothing,
  refused,
  sameOnCommandLine,
  state,
  to as anchor,
} from '../parts.js';
import { to } from '../routes.js';
import { get, segment, withQuery } from '../api.js';
import { happened } from '../timeline.js';
import { role } from '../members.js';
import { reason } from '../why.js';
import { MEMBER, clockTime, count, firstLine, rank, visible } from '../words.js';
import { serviceRows } from './services.js';

const ROWS = 10;
/** Failed nodes whose cause is requested; each request pings the node. */
const ASK_WHY = 5;

const servicesPath = (dc) => withQuery('/v1/internal/ui/services', { dc });

/** Members of the pool of the view's datacenter; none in another one than this agent's, whose pool is not known. */
const pool = (view) => (view.app.isOwn(view.route.dc) ? (view.feeds.members.body ?? []) : []);
const poolServers = (view) =>
  pool(view).filter((member) => member.Tags?.role === 'consul' && MEMBER[member.Status] !== 'left');
const failedOf = (view) => pool(view).filter((member) => MEMBER[member.Status] === 'failed');

/** The feed that knows which nodes failed: in another datacenter that is its catalog. */
const knowsFailed = (view) => (view.app.isOwn(view.route.dc) ? view.feeds.members : view.feeds.critical);

/** Failed nodes, as `{Name, Addr, said}`: the pool's, and those of the catalog that this agent has never seen alive. */
function failedIn(view) {
  const isOwn = view.app.isOwn(view.route.dc);
  if (isOwn && !view.feeds.members.body && !view.feeds.members.error) return [];
  const seen = new Set(pool(view).map(({ Name }) => Name));
  const unseen = (view.feeds.critical.body ?? []).filter(
    (check) => check.CheckID === 'serfHealth' && !seen.has(check.Node),
  );
  const said = (check) => `${firstLine(check.Output)}${isOwn ? '; it failed before this agent began' : ''}`;
  return [...failedOf(view), ...unseen.map((check) => ({ Name: check.Node, Addr: '', said: said(check), isUnseen: isOwn }))];
}

/** Ask once why each of the first failed nodes failed. */
function askWhy(view) {
  const known = (view.state.why ??= new Map());
  for (const { Name } of failedOf(view).slice(0, ASK_WHY)) {
    if (known.has(Name)) continue;
    known.set(Name, null);
    get(`/v1/agent/timeline/${segment(Name)}`).then(
      ({ body }) => {
        known.set(Name, body);
        view.draw();
      },
      () => known.set(Name, null),
    );
  }
  for (const each of known.keys()) if (!failedOf(view).some(({ Name }) => Name === each)) known.delete(each);
}

function headline(view, failed, rows) {
  const { dc } = view.route;
  const critical = rows.filter((row) => row.state === 'critical').length;
  const warning = rows.filter((row) => row.state === 'warning').length;
  const list = (section, status) => `${to.section(dc, section)}?status=${status}`;
  const part = (tone, shape, content) =>
    html`<span class="state ${tone}"><span aria-hidden="true">${shape}</span> ${content}</span>`;
  const isHidden = Boolean(view.app.hidden());
  const well = (shape, all, some) => (isHidden ? part('muted', '◇', some) : part('good', shape, all));
  return html`<p class="headline">
    ${failed.length ? part('bad', '✕', anchor(list('nodes', 'failed'), `${count(failed.length, 'node')} failed`)) : knowsFailed(view).body ? well('●', 'no node failed', 'no failed node that may be read') : nothing}
    ${critical ? part('bad', '✕', anchor(list('services', 'critical'), `${count(critical, 'service')} critical`)) : view.feeds.services.body ? well('✓', 'no service critical', 'no critical service that may be read') : nothing}
    ${warning ? part('warn', '▲', anchor(list('services', 'warning'), `${warning} warning`)) : nothing}
    ${serverLine(view)}
  </p>`;
}

/** The answer about the servers' health; an unhealthy cluster answers with status 429 and the same body. */
export function autopilotOf(feed) {
  if (feed.body) return feed.body;
  try {
    return feed.error?.status === 429 ? JSON.parse(feed.error.answer) : null;
  } catch {
    return null;
  }
}

/** How many servers are well, of how many, and how many more can be lost. The pool knows of a failure before autopilot. */
function tally(view, servers, health) {
  if (!health)
    return { healthy: servers.filter((member) => MEMBER[member.Status] === 'alive').length, all: servers.length };
  const failed = new Set(failedOf(view).map(({ Name }) => Name));
  const voters = (health.Servers ?? []).filter((each) => each.Voter);
  const healthy = voters.filter((each) => each.Healthy && !failed.has(each.Name)).length;
  const spare = Math.max(0, healthy - Math.floor(voters.length / 2) - 1);
  return { healthy, all: voters.length, spare: Math.min(spare, health.FailureTolerance) };
}

function serverLine(view) {
  const servers = poolServers(view);
  const health = autopilotOf(view.feeds.autopilot);
  const leader = view.app.leader.body;
  const leading =
    servers.find((member) => role(member, leader) === 'leader')?.Name ??
    health?.Servers?.find((each) => each.Leader)?.Name;
  if (!servers.length && !health) return nothing;
  const { healthy, all, spare } = tally(view, servers, health);
  const canLose = spare === undefined ? '' : `, can lose ${spare || 'none'}`;
  const says = html`servers ${healthy} of ${all}, ${leading ? html`leader ${name(leading)}` : leader === '' ? 'no leader' : 'leader not known'}${canLose}`;
  const tone = leader === '' || healthy < all ? 'bad' : 'good';
  return html`<span class="state ${tone}"><span aria-hidden="true">${tone === 'bad' ? '✕' : '●'}</span> ${anchor(to.section(view.route.dc, 'servers'), says)}</span>`;
}

/** Each server: as the pool knows it, and where it is not known what autopilot says. */
function servers(view) {
  const { leader } = view.app;
  const health = autopilotOf(view.feeds.autopilot)?.Servers ?? [];
  const ofPool = poolServers(view).map((member) => ({
    name: member.Name,
    word: MEMBER[member.Status],
    role: role(member, leader.body),
  }));
  const found = ofPool.length
    ? ofPool
    : health.map((each) => ({ name: each.Name, word: each.SerfStatus, role: each.Leader ? 'leader' : 'server' }));
  if (!found.length) return html`<p class="muted">Not known.</p>`;
  const isUnhealthy = new Set(health.filter((each) => !each.Healthy).map((each) => each.Name));
  return html`<ul class="plain">
    ${found
      .sort((a, b) => rank(a.word) - rank(b.word) || (a.name < b.name ? -1 : 1))
      .map(
        (each) => html`<li>${state(each.word)} <strong>${anchor(to.node(view.route.dc, each.name), name(each.name))}</strong> <span class="tag">${each.role}</span>
        ${isUnhealthy.has(each.name) && each.word !== 'failed' ? html`<span class="state bad"><span aria-hidden="true">✕</span> unhealthy: autopilot hears too little of it, or it is behind</span>` : nothing}</li>`,
      )}
  </ul>`;
}

function failedNodes(view, failed) {
  const { changes } = view.feeds;
  const feed = knowsFailed(view);
  if (feed.error?.status === 403) return refused(view.route.dc, feed.error);
  if (!feed.body) return html`<p class="muted">Asking …</p>`;
  if (!failed.length) return html`<p class="muted">None at ${at(feed)}.</p>`;
  const isOwn = view.app.isOwn(view.route.dc);
  const since = new Map(isOwn ? (changes.body ?? []).map((change) => [change.Name, change]) : []);
  return html`<ul class="plain">
    ${failed.slice(0, ROWS).map((member) => {
      const last = since.get(member.Name);
      const found = view.state.why?.get(member.Name);
      const because = found ? reason(found.Events ?? []) : last?.Peer ? `declared dead by ${last.Peer}` : (member.said ?? '');
      return html`<li>${state('failed')} <strong>${anchor(to.node(view.route.dc, member.Name), name(member.Name))}</strong> <bdi class="mono">${member.Addr}</bdi>
        ${last ? html`<span class="muted">for ${ago(last.At * 1000)}</span>` : nothing}
        ${found?.verdict ? html`<span class="tag">${found.verdict.cause}</span>` : nothing} <span>${name(because)}</span>
        ${isOwn && !member.isUnseen ? html`<a href=${link(to.node(view.route.dc, member.Name, 'timeline'))} aria-label=${`why ${visible(member.Name)} has failed`}>why</a>` : nothing}</li>`;
    })}
    ${failed.length > ROWS ? html`<li>${anchor(`${to.section(view.route.dc, 'nodes')}?status=failed`, `all ${failed.length}`)}</li>` : nothing}
  </ul>`;
}

const at = (feed) => clockTime(performance.timeOrigin + feed.atMs);

/** What says why a service is in trouble: its first failing check, else its failed node, else a check of a node. */
function reasons(checks) {
  const [ofService, ofNode, dead] = [new Map(), new Map(), new Set()];
  for (const check of checks) {
    const said = (where) => [`${visible(check.Name)} (${where})`, firstLine(check.Output)].filter(Boolean).join(': ');
    const keep = (known, key, where) => known.has(key) || known.set(key, said(where));
    if (check.ServiceName) keep(ofService, check.ServiceName, `${visible(check.ServiceID)} on ${visible(check.Node)}`);
    else if (check.CheckID === 'serfHealth') dead.add(check.Node);
    else keep(ofNode, check.Node, `of the node ${visible(check.Node)}`);
  }
  return ({ name: service, node: nodes }) => {
    const failed = nodes.find((node) => dead.has(node));
    const ailing = nodes.find((node) => ofNode.has(node));
    return ofService.get(service) ?? (failed ? `its node ${visible(failed)} has failed` : (ofNode.get(ailing) ?? ''));
  };
}

function troubled(view, rows) {
  const { services, critical, warning } = view.feeds;
  if (services.error?.status === 403) return refused(view.route.dc, services.error);
  if (!services.body)
    return services.error && services.error.status ? failure(services.error) : html`<p class="muted">Asking …</p>`;
  const bad = rows
    .filter((row) => row.state === 'critical' || row.state === 'warning')
    .sort((a, b) => rank(a.state) - rank(b.state) || b.critical - a.critical);
  if (!bad.length) return html`<p class="muted">None at ${at(services)}.</p>`;
  const saidBy = reasons([...(critical.body ?? []), ...(warning.body ?? [])]);
  return html`<ul class="plain">
    ${bad.slice(0, ROWS).map(
      (row) => html`<li>${state(row.state)} <strong>${anchor(row.path, name(row.name))}</strong>
        <span class="muted">${row.critical ? `${row.critical} critical` : `${row.warning} warning`} in ${count(row.instances, 'instance')}</span>
        <span>${name(saidBy(row))}</span></li>`,
    )}
    ${bad.length > ROWS ? html`<li>${anchor(`${to.section(view.route.dc, 'services')}?status=critical,warning`, `all ${bad.length}`)}</li>` : nothing}
  </ul>`;
}

function lastChanges(view) {
  const { changes } = view.feeds;
  if (changes.error)
    return html`<p class="muted">${changes.error.status === 404 ? 'This agent has no timeline of its members.' : changes.error.message}</p>`;
  if (!changes.body) return nothing;
  if (!changes.body.length)
    return html`<p class="muted">${view.app.hidden() ? 'None that may be read.' : 'None since this agent began.'}</p>`;
  return html`<ol class="timeline" aria-label="Last changes">
    ${changes.body.slice(0, 8).map(
      (change) => html`<li>${moment(change.At * 1000)} ${happened(change.What)}
      <span>${anchor(to.node(view.route.dc, change.Name), name(change.Name))} ${change.Peer && change.Peer !== change.Name ? html`by ${name(change.Peer)}` : nothing} <span class="muted">${name(change.Detail)}</span></span></li>`,
    )}
  </ol>`;
}

export const page = {
  title: () => 'Overview',
  feeds: (route) => ({
    services: servicesPath(route.dc),
    changes: { path: '/v1/agent/timeline', optional: true },
    members: { path: '/v1/agent/members', once: true, optional: true },
    critical: { path: withQuery('/v1/health/state/critical', { dc: route.dc }), once: true, optional: true },
    warning: { path: withQuery('/v1/health/state/warning', { dc: route.dc }), once: true, optional: true },
    autopilot: { path: withQuery('/v1/operator/autopilot/health', { dc: route.dc }), pollMs: 30000, optional: true },
  }),
  changed(view, feed) {
    const { feeds, state: own } = view;
    if (feed === 'members') askWhy(view);
    if (feed === 'services' && own.services !== feeds.services.version) {
      if (own.services !== undefined) for (const each of ['critical', 'warning']) feeds[each].again();
      own.services = feeds.services.version;
    }
    if (feed === 'changes' && feeds.changes.error?.status === 404 && !own.isPolling) {
      own.isPolling = true; // real Consul: no timeline that could tell of changes
      view.add('members', { path: '/v1/agent/members', optional: true });
    } else if (feed === 'changes' && own.changes !== feeds.changes.version) {
      if (own.changes !== undefined) for (const each of ['members', 'autopilot']) feeds[each].again();
      own.changes = feeds.changes.version;
    }
  },
  render(view) {
    const { services } = view.feeds;
    const rows = view.memo('rows', [services.version], () => serviceRows(view.route.dc, services.body ?? []));
    const isOwn = view.app.isOwn(view.route.dc);
    const failed = failedIn(view);
    return html`<h1>Overview</h1>
      ${headline(view, failed, rows)}
      <h2>Failed nodes</h2>${failedNodes(view, failed)}
      <h2>Services in trouble</h2>${troubled(view, rows)}
      <h2>Servers</h2>${servers(view)}
      ${isOwn ? html`<h2>Last changes</h2>${lastChanges(view)}` : nothing}
      ${sameOnCommandLine(isOwn ? ['consulpy members', '/v1/agent/timeline'] : [], [isOwn ? 'consulpy doctor' : '', servicesPath(view.route.dc)])}`;
  },
};
