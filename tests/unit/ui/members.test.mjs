/** Catalog and pool put together; the map of round trips. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { forgottenAt, merge, role } from '../../../consulpy/ui/static/assets/members.js';
import { nearest, plane, roundTrip } from '../../../consulpy/ui/static/assets/map.js';

const node = (name, ...statuses) => ({
  Node: name,
  Address: '10.0.0.1',
  Services: [],
  Checks: statuses.map((Status, at) => ({ CheckID: at ? `c${at}` : 'serfHealth', Status })),
});
const member = (name, Status, Tags = { role: 'node', build: '1.8.7:abc' }) => ({
  Name: name,
  Addr: '10.0.0.1',
  Port: 8301,
  Status,
  Tags,
});
const of = (rows, name) => rows.find((each) => each.name === name);

test('each name is there once, in its state', () => {
  const rows = merge(
    [node('a', 'passing'), node('b', 'critical'), { ...node('ext'), Checks: [] }],
    [member('a', 1), member('b', 4), member('c', 3)],
  );
  assert.deepEqual(
    rows.map((each) => [each.name, each.member]),
    [
      ['a', 'alive'],
      ['b', 'failed'],
      ['ext', 'external'],
      ['c', 'left'],
    ],
  );
  assert.equal(of(rows, 'a').version, '1.8.7');
  assert.deepEqual(of(rows, 'b').states, ['failed', 'critical']);
  assert.equal(of(rows, 'ext').disagreement, '');
});

test('catalog and pool that do not agree are told of; a member that left is no disagreement', () => {
  const rows = merge([node('ghost', 'passing')], [member('new', 1), member('gone', 3)]);
  assert.equal(of(rows, 'ghost').disagreement, 'in the catalog, not in the pool');
  assert.equal(of(rows, 'new').disagreement, 'in the pool, not in the catalog');
  assert.equal(of(rows, 'gone').disagreement, '');
});

test('what failed before this agent began is not in its pool, and has failed', () => {
  const rows = merge([node('old', 'critical'), node('ill', 'passing', 'critical')], [member('a', 1)]);
  assert.equal(of(rows, 'old').member, 'failed');
  assert.equal(of(rows, 'ill').member, 'external');
});

test('without the pool (another datacenter) the catalog alone says what it knows', () => {
  const rows = merge([node('a', 'passing'), node('b', 'critical'), { ...node('ext'), Checks: [] }], undefined);
  assert.deepEqual(
    rows.map((each) => each.member),
    ['alive', 'failed', 'external'],
  );
  assert.ok(rows.every((each) => each.disagreement === ''));
});

test('the leader is found by the address of its RPC', () => {
  const server = member('s1', 1, { role: 'consul', port: '8300' });
  assert.equal(role(server, '10.0.0.1:8300'), 'leader');
  assert.equal(role(server, '10.0.0.2:8300'), 'server');
  assert.equal(role(member('c', 1), '10.0.0.1:8300'), '');
});

test('a member that is gone is forgotten after its time', () => {
  assert.equal(forgottenAt('left', 1000), 1000 + 24 * 3600e3);
  assert.equal(forgottenAt('failed', 1000), 1000 + 72 * 3600e3);
  assert.equal(forgottenAt('alive', 1000), 0);
  assert.equal(forgottenAt('failed', 0), 0);
});

const coord = (...Vec) => ({ Vec, Height: 0.001, Adjustment: 0, Error: 1 });

test('a round trip is the distance, both heights and both adjustments', () => {
  assert.ok(Math.abs(roundTrip(coord(0, 0), coord(0.003, 0.004)) - 0.007) < 1e-12);
  assert.ok(
    Math.abs(roundTrip({ ...coord(0, 0), Adjustment: -1 }, coord(0.003, 0.004)) - 0.007) < 1e-12,
    'an adjustment below 0 is left out',
  );
  assert.ok(Number.isNaN(roundTrip(coord(0), coord(0, 1))));
});

test('the nearest first', () => {
  const all = [
    { Node: 'a', Coord: coord(0, 0) },
    { Node: 'far', Coord: coord(1, 0) },
    { Node: 'near', Coord: coord(0.1, 0) },
  ];
  assert.deepEqual(
    nearest(all, 'a').map((each) => each.name),
    ['near', 'far'],
  );
  assert.deepEqual(nearest(all, 'nobody'), []);
});

test('a plane shows all of flat points and says what it loses of others', () => {
  const flat = [
    [0, 0, 0],
    [1, 0, 0],
    [0, 2, 0],
    [1, 2, 0],
  ];
  const { points, share } = plane(flat);
  assert.ok(share > 0.999);
  assert.ok(Math.abs(Math.hypot(points[0][0] - points[3][0], points[0][1] - points[3][1]) - Math.hypot(1, 2)) < 1e-6);
  assert.ok(
    plane([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
      [-1, -1, -1],
    ]).share < 0.99,
  );
  assert.deepEqual(plane([[1, 1]]).points, [[0, 0]]);
  const near = plane(flat.map((each) => each.map((value) => value * 1e-9))).points;
  assert.ok(Math.abs(Math.hypot(near[0][0] - near[3][0], near[0][1] - near[3][1]) * 1e9 - Math.hypot(1, 2)) < 1e-6);
  assert.deepEqual(plane([]).points, []);
});
