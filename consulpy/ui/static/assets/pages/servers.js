/** The quorum: Raft's servers, what can be lost, WAN members, the keyring, a snapshot. */

import {
  action,
  command,
  failure,
  html,
  link,
  name,
  nothing,
  refused,
  sameOnCommandLine,
  state,
  to as anchor,
} from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { download, withQuery } from '../api.js';
import { milliseconds } from '../map.js';
import { MEMBER, count, goSeconds, hostPort, visible } from '../words.js';
import { autopilotOf } from './overview.js';

const yes = (word) => html`<span class="state good"><span aria-hidden="true">✓</span> ${word}</span>`;
const no = (word) => html`<span class="state bad"><span aria-hidden="true">✕</span> ${word}</span>`;

/** How long ago a server heard the leader; what is no duration as it is. */
const contact = (text) => (/^\d/.test(text) ? milliseconds(1000 * goSeconds(text)) : visible(text));

const columns = [
  {
    id: 'state',
    title: 'State',
    cell: ({ seen }) =>
      seen ? (seen.Healthy ? yes('healthy') : no('unhealthy')) : html`<span class="muted">not known</span>`,
  },
  {
    id: 'name',
    title: 'Name',
    cell: (row, tab) => html`<a href=${link(row.path)} tabindex=${tab}>${name(row.name)}</a>`,
  },
  { id: 'role', title: 'Role', cell: (row) => row.role },
  { id: 'address', title: 'Address', cell: (row) => html`<bdi class="mono">${visible(row.address)}</bdi>` },
  { id: 'version', title: 'Version', cell: ({ seen }) => visible(seen?.Version ?? '') },
  { id: 'contact', title: 'Last contact', cell: ({ seen, isLeader }) => (isLeader || !seen ? '' : contact(seen.LastContact)) },
  { id: 'behind', title: 'Behind by', cell: (row) => row.behind },
];

function rows(dc, servers, health) {
  const byId = new Map((health?.Servers ?? []).map((each) => [each.ID, each]));
  const newest = Math.max(0, ...[...byId.values()].map((each) => each.LastIndex));
  return servers.map((server) => {
    const seen = byId.get(server.ID);
    const role = `${server.Leader ? 'leader' : 'follower'}, ${server.Voter ? 'voter' : 'no vote'}`;
    return {
      key: server.ID,
      name: server.Node,
      path: to.node(dc, server.Node),
      seen,
      role,
      isLeader: server.Leader,
      address: server.Address,
      behind: seen && !server.Leader ? count(Math.max(0, newest - seen.LastIndex), 'entry', 'entries') : '',
      state: seen && !seen.Healthy ? 'critical' : 'passing',
      text: server.Node.toLowerCase(),
      mark: `${role} ${seen?.Healthy ?? true}`,
    };
  });
}

function quorum(view) {
  const { raft, autopilot } = view.feeds;
  if (raft.error?.status === 403) return refused(view.route.dc, raft.error);
  const health = autopilotOf(autopilot);
  if (!raft.body) return raft.error?.status ? failure(raft.error) : html`<p class="muted">Asking …</p>`;
  const servers = raft.body.Servers ?? [];
  const voters = servers.filter((each) => each.Voter);
  const leader = servers.find((each) => each.Leader);
  const versions = [raft.version, autopilot.version, autopilot.error];
  view.table.update(view.memo('rows', versions, () => rows(view.route.dc, servers, health)));
  return html`<p class="headline">
      ${leader ? html`<span class="state good"><span aria-hidden="true">●</span> leader ${anchor(to.node(view.route.dc, leader.Node), name(leader.Node))}</span>` : no('no leader')}
      <span>${count(voters.length, 'voter')}, a majority is ${Math.floor(voters.length / 2) + 1}</span>
      ${health ? (health.FailureTolerance > 0 ? yes(`can lose ${count(health.FailureTolerance, 'server')}`) : html`<span class="state warn"><span aria-hidden="true">▲</span> can lose no server</span>`) : nothing}
    </p>
    ${view.table.render()}`;
}

async function fingerprint(key, at) {
  if (!globalThis.crypto?.subtle) return `key ${at + 1}`; // browsers have it over https and on this machine only
  const raw = Uint8Array.from(atob(key), (each) => each.charCodeAt(0));
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', raw));
  return Array.from(hash.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Keys become fingerprints as soon as they arrive; the keys themselves are in no part of the page. */
async function readKeyring(view) {
  const pools = view.feeds.keyring.body ?? [];
  view.state.keyring = await Promise.all(
    pools.map(async (pool) => ({
      title: `${pool.WAN ? 'WAN' : `LAN ${pool.Datacenter}`}${pool.Segment ? ` ${pool.Segment}` : ''}`,
      members: pool.NumNodes,
      keys: await Promise.all(
        Object.entries(pool.Keys ?? {}).map(async ([key, number], at) => ({
          print: await fingerprint(key, at),
          number,
        })),
      ),
    })),
  );
  view.draw();
}

function whyNoKeyring(error) {
  if (error.status === 403) return 'The token in use may not read the keyring.';
  if (/server node/i.test(error.message)) return 'This agent is a client: servers tell which keys are in use.';
  return /encryption not enabled/i.test(error.message) ? 'Gossip is not encrypted: there is no keyring.' : name(error.message);
}

function keyring(view) {
  const isEncrypted = view.app.self.body?.Stats?.serf_lan?.encrypted;
  if (isEncrypted === 'false') return html`<p class="muted">Gossip is not encrypted: there is no keyring.</p>`;
  if (!view.app.self.body && !view.app.self.error) return nothing;
  const { error } =
    view.feeds.keyring ?? view.add('keyring', { path: '/v1/operator/keyring', once: true, optional: true });
  if (error) return html`<p class="muted">${whyNoKeyring(error)}</p>`;
  return html`${(view.state.keyring ?? []).map(
    (pool) => html`<h3>${name(pool.title)}</h3>
    <ul class="plain">${pool.keys.map((key) => html`<li><span class="mono">${key.print}</span> on ${key.number} of ${count(pool.members, 'member')}</li>`)}</ul>`,
  )}`;
}

function wan(view) {
  const { body, error } = view.feeds.wan;
  if (error?.status === 403) return html`<p class="muted">The token in use may not read the members.</p>`;
  if (body === undefined) return html`<p class="muted">${error ? name(error.message) : 'Asking …'}</p>`;
  if (!body?.length && view.app.hidden()) return html`<p class="muted">None that may be read.</p>`;
  if (!body?.length) return html`<p class="muted">This agent is no member of the WAN pool: servers are.</p>`;
  return html`<ul class="plain">${body.map((member) => html`<li>${state(MEMBER[member.Status] ?? 'unknown')} ${name(member.Name)} <bdi class="mono">${visible(hostPort(member.Addr, member.Port))}</bdi></li>`)}</ul>`;
}

async function snapshot(view) {
  await view.act('The snapshot was saved', async () => {
    const blob = await download(withQuery('/v1/snapshot', { dc: view.route.dc }));
    const file = document.createElement('a');
    file.href = URL.createObjectURL(blob);
    file.download = `${view.route.dc}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.snap`;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 10000);
  });
}

export const page = {
  title: () => 'Servers',
  feeds: (route) => ({
    raft: { path: withQuery('/v1/operator/raft/configuration', { dc: route.dc }), pollMs: 5000 },
    autopilot: { path: withQuery('/v1/operator/autopilot/health', { dc: route.dc }), pollMs: 5000, optional: true },
    wan: { path: '/v1/agent/members?wan=1', pollMs: 30000, optional: true },
  }),
  start(view) {
    view.table = new Table(view, {
      name: 'Servers',
      one: 'server',
      columns,
      kind: 'of-servers',
      empty: () => html`<p>The servers have no configuration of Raft yet.</p>`,
    });
  },
  changed(view, feed) {
    if (feed === 'keyring' && view.feeds.keyring.body) readKeyring(view);
  },
  render(view) {
    return html`<h1>Servers</h1>
      ${quorum(view)}
      <h2>Datacenters' servers (WAN)</h2>${wan(view)}
      <h2>Keyring</h2>${keyring(view)}
      <h2>Snapshot</h2>
      <p>All of the servers' state in one file. It is restored on the command line only: <code>consulpy snapshot restore FILE</code></p>
      <p class="row-of-buttons">${action(view, 'Save snapshot', () => snapshot(view))}</p>${failure(view.failed)}
      ${sameOnCommandLine([command(view, 'consulpy operator raft list-peers'), withQuery('/v1/operator/raft/configuration', { dc: view.route.dc })], [command(view, 'consulpy operator autopilot get-config'), withQuery('/v1/operator/autopilot/health', { dc: view.route.dc })])}`;
  },
};
