/** Catalog and gossip put together: every node in every state. Pure. */

import { MEMBER, checkState, hostPort, worst } from './words.js';

/** A member that has failed is forgotten after this (Consul's reconnect timeout), one that left after the second. */
export const FORGET_FAILED_MS = 72 * 3600e3;
export const FORGET_LEFT_MS = 24 * 3600e3;
/** A disagreement of catalog and pool is told after so long. */
export const DISAGREE_MS = 60000;

/** The agent's release out of the tag `build`. */
export const version = (tags) => (tags?.build ?? '').split(':')[0];

/** `leader`, `server` or ''. `leader`: the address of the leader's RPC. */
export function role(member, leader) {
  if (member?.Tags?.role !== 'consul') return '';
  return leader && leader === hostPort(member.Addr, Number(member.Tags.port)) ? 'leader' : 'server';
}

/** When a member that is gone is forgotten, in ms since 1970; 0 if never or not known. */
export function forgottenAt(word, sinceMs, reconnectMs = FORGET_FAILED_MS) {
  if (!sinceMs) return 0;
  return word === 'left' ? sinceMs + FORGET_LEFT_MS : word === 'failed' ? sinceMs + reconnectMs : 0;
}

/**
 * One row for each name in the catalog or in the pool.
 * @param {Array} catalog of `/v1/internal/ui/nodes`; undefined while it is not known
 * @param {Array} members of `/v1/agent/members`; undefined if not known or of another datacenter
 * @param {Array} changes of `/v1/agent/timeline`: the last change of each member
 * @param {string} leader address of the leader's RPC
 */
export function merge(catalog, members, changes = [], leader = '') {
  const pool = new Map((members ?? []).map((member) => [member.Name, member]));
  const since = new Map(changes.map((change) => [change.Name, change.At * 1000]));
  const rows = (catalog ?? []).map((node) => {
    const member = pool.get(node.Node);
    pool.delete(node.Node);
    return row(node, member, since, leader, Boolean(members));
  });
  for (const member of pool.values()) rows.push(row(null, member, since, leader, true));
  return rows;
}

function row(node, member, since, leader, isPoolKnown) {
  const key = node?.Node ?? member.Name;
  const checks = (node?.Checks ?? []).map((check) => checkState(check.Status));
  const health = worst(checks);
  const claimsAgent = (node?.Checks ?? []).some((check) => check.CheckID === 'serfHealth');
  const word = member ? (MEMBER[member.Status] ?? 'unknown') : withoutMember(node, claimsAgent, isPoolKnown);
  const address = node?.Address ?? member.Addr;
  return {
    key,
    name: key,
    member: word,
    health,
    state: word === 'left' ? 'left' : word === 'alive' && checks.length === 0 ? 'alive' : worst([word, health]),
    states: [...new Set([word, health])],
    role: role(member, leader),
    address,
    version: version(member?.Tags),
    checks: counts(checks),
    sinceMs: since.get(key) ?? 0,
    services: (node?.Services ?? []).length,
    node: [key],
    tag: Object.entries(member?.Tags ?? {}).map(([tag, value]) => `${tag}=${value}`),
    /** '' if catalog and pool agree. */
    disagreement: !isPoolKnown
      ? ''
      : !member && claimsAgent
        ? 'in the catalog, not in the pool'
        : member && !node && word !== 'left'
          ? 'in the pool, not in the catalog'
          : '',
    text: `${key} ${address} ${version(member?.Tags)} ${(node?.Services ?? []).map((each) => each.Service).join(' ')}`.toLowerCase(),
    mark: `${word} ${checks.join()}`,
  };
}

/** Of a node that is not in the pool: one that failed before this agent began never comes into its pool. */
function withoutMember(node, claimsAgent, isPoolKnown) {
  if (claimsAgent && serf(node) === 'critical') return 'failed';
  return claimsAgent && !isPoolKnown ? 'alive' : 'external';
}

const serf = (node) => (node.Checks ?? []).find((check) => check.CheckID === 'serfHealth')?.Status;

function counts(states) {
  const found = { passing: 0, warning: 0, critical: 0 };
  for (const state of states) found[state] += 1;
  return found;
}
