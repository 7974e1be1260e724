/** What is wrong with what one sees. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { hidden, trouble } from '../../../consulpy/ui/static/assets/trouble.js';

const feed = (more = {}) => ({ error: null, knownLeader: true, isFiltered: false, defaultPolicy: '', ...more });
const failed = (status, more = {}) => feed({ error: { status }, ...more });
const leader = feed({ body: '127.0.0.1:8300' });

test('what one sees is old', () => {
  assert.equal(trouble([feed()], leader), '');
  assert.equal(trouble([feed(), failed(0)], leader), 'away');
  assert.equal(trouble([feed()], failed(0)), 'away');
  assert.equal(trouble([feed()], feed({ body: '' })), 'leaderless');
  assert.equal(trouble([], feed({ error: { status: 500, isLeaderless: true } })), 'leaderless', 'no server answers');
  assert.equal(trouble([feed({ knownLeader: false })], leader), 'leaderless');
  assert.equal(trouble([failed(500)], leader), 'errors');
  assert.equal(trouble([failed(429, { isOptional: true }), failed(403)], leader), '', 'told where they belong');
  assert.equal(trouble([failed(0, { isOptional: true })], leader), 'away');
});

test('what may not be read is left out, and that is said', () => {
  const [open, denied] = [feed(), failed(403)];
  const deny = feed({ defaultPolicy: 'deny' });
  assert.equal(hidden([deny], leader, open, true), '');
  assert.equal(hidden([deny, feed({ isFiltered: true })], leader, open, true), 'token');
  assert.equal(hidden([deny], leader, denied, false), 'anonymous');
  assert.equal(hidden([deny], leader, denied, true), '', 'the agent would have said so');
  assert.equal(hidden([feed({ defaultPolicy: 'allow' })], leader, denied, false), '');
  assert.equal(hidden([feed()], leader, denied, true), 'token', 'real Consul 1.8 does not say');
  assert.equal(hidden([feed()], leader, denied, false), 'anonymous');
  assert.equal(hidden([feed()], leader, open, false), '');
});
