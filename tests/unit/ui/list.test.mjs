/** Filter, order and stillness of lists. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { byName, filterRows, hold, isCovered, parseFilter, sortRows, windowOf } from '../../../consulpy/ui/static/assets/list.js';

const row = (name, state, tag = [], node = []) => ({
  key: name,
  name,
  state,
  tag,
  node,
  text: `${name} ${tag.join(' ')}`.toLowerCase(),
});
const rows = [
  row('web', 'passing', ['v1'], ['n1']),
  row('db', 'critical', ['v2'], ['n2']),
  row('old-web', 'warning', [], ['n1', 'n2']),
];
const names = (filter, statuses = []) => filterRows(rows, filter, statuses).map((each) => each.name);

test('every word has to match; a minus turns a word around', () => {
  assert.deepEqual(names('web'), ['web', 'old-web']);
  assert.deepEqual(names('web -old'), ['web']);
  assert.deepEqual(names('WEB V1'), ['web']);
  assert.deepEqual(names('  '), ['web', 'db', 'old-web']);
  assert.deepEqual(names('-'), ['old-web'], 'a lone minus is a word');
});

test('fields: tag, node, status, name', () => {
  assert.deepEqual(names('tag:v2'), ['db']);
  assert.deepEqual(names('node:n2'), ['db', 'old-web']);
  assert.deepEqual(names('status:critical'), ['db']);
  assert.deepEqual(names('-status:critical -name:old'), ['web']);
  assert.deepEqual(parseFilter('tag:'), []);
});

test('pressed states are an or', () => assert.deepEqual(names('', ['critical', 'warning']), ['db', 'old-web']));

test('the worst first, then by name with numbers in their order', () => {
  const many = ['n10', 'n9', 'n1'].map((name) => row(name, 'passing')).concat(row('z', 'critical'));
  assert.deepEqual(
    sortRows(many, [], '').map((each) => each.name),
    ['z', 'n1', 'n9', 'n10'],
  );
  assert.deepEqual(
    sortRows(many, [], 'name:desc').map((each) => each.name),
    ['z', 'n10', 'n9', 'n1'],
  );
  const columns = [{ id: 'size', sort: (a, b) => a.name.length - b.name.length }];
  assert.deepEqual(
    sortRows(many, columns, 'size:desc').map((each) => each.name),
    ['n10', 'n1', 'n9', 'z'],
  );
});

test('names of ASCII are in the order that a collator gives them', () => {
  const collator = new Intl.Collator('en', { numeric: true });
  const letters = 'abz-._/0129';
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const words = Array.from({ length: 3000 }, () =>
    Array.from({ length: 1 + random(9) }, () => letters[random(letters.length)]).join(''),
  );
  const found = byName([...new Set(words)].map((name) => row(name, 'passing'))).map((each) => each.name);
  for (const [at, name] of found.slice(1).entries())
    assert.ok(collator.compare(found[at], name) <= 0, `${found[at]} stands before ${name}`);
});

test('other names stand where their language has them', () => {
  const named = ['z', 'Äpfel', 'b', 'apfel2', 'apfel10'].map((name) => row(name, 'passing'));
  assert.deepEqual(
    byName(named).map((each) => each.name),
    ['Äpfel', 'apfel2', 'apfel10', 'b', 'z'],
  );
});

test('an order of a column keeps equal rows in the order of their names', () => {
  const many = ['n3', 'n1', 'n2'].map((name) => row(name, 'passing'));
  const columns = [{ id: 'same', sort: () => 0 }];
  for (const sort of ['same:asc', 'same:desc'])
    assert.deepEqual(
      sortRows(many, columns, sort).map((each) => each.name),
      ['n1', 'n2', 'n3'],
    );
});

test('what is read stays: rows that would come or move wait', () => {
  assert.deepEqual(hold(['a', 'b', 'c'], ['a', 'b', 'c']), { keys: ['a', 'b', 'c'], waiting: 0 });
  assert.deepEqual(hold(['a', 'b', 'c'], ['c', 'a', 'b']), { keys: ['a', 'b', 'c'], waiting: 3 });
  assert.deepEqual(hold(['a', 'b'], ['a', 'b', 'd']), { keys: ['a', 'b'], waiting: 1 });
  assert.deepEqual(hold(['a', 'b'], ['b']), { keys: ['b'], waiting: 0 }, 'what is gone goes at once');
});

test('only the rows in sight are drawn, wherever one is', () => {
  assert.deepEqual(windowOf(40, 0, 800, 36), { from: 0, to: 40 });
  const { from, to } = windowOf(5000, 36000, 800, 36);
  assert.ok(from <= 1000 && to >= 1023 && to - from < 60);
  assert.deepEqual(windowOf(5000, 1e9, 800, 36), { from: 4999, to: 5000 });
});

test('a few rows of scrolling need no drawing, a page does', () => {
  const drawn = windowOf(5000, 36000, 800, 36);
  const isStill = (rows) => isCovered(drawn, 5000, 36000 + rows * 36, 800, 36);
  assert.deepEqual([0, 1, 6, -6].map(isStill), [true, true, true, true]);
  assert.deepEqual([8, -8, 30, -1000].map(isStill), [false, false, false, false]);
  for (const offset of [0, 100, 1e9]) {
    assert.ok(isCovered(windowOf(5000, offset, 800, 36), 5000, offset, 800, 36), 'also at both ends');
  }
  assert.ok(isCovered(windowOf(40, 0, 800, 36), 40, 500, 800, 36), 'a short list is drawn whole');
});

test('names are compared once for all filters of the same rows', () => {
  const many = Array.from({ length: 5000 }, (_, at) => row(`service-${at}`, at % 7 ? 'passing' : 'critical', ['v2']));
  const found = sortRows(filterRows(many, '-1 tag:v2', []), [], '', many);
  assert.equal(found.length, many.filter((each) => !each.name.includes('1')).length);
  assert.equal(found[0].state, 'critical');
});
