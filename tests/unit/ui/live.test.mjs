/** Feeds: blocking queries that keep a view up to date without pressing the server. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Feed, nextIndex, pauseAfter, retryAfter } from '../../../consulpy/ui/static/assets/live.js';

const answer = (body, index, more = {}) => ({
  body,
  text: JSON.stringify(body),
  index,
  knownLeader: true,
  lastContactMs: 0,
  arrived: 0,
  ...more,
});
const failure = (status, message = '') =>
  Object.assign(new Error(message), { status, isLeaderless: /No cluster leader/.test(message) });

/** Runs a feed over a script of answers; what it asked, how long it paused, what it told. */
async function run(script, how = {}, more = {}) {
  const asked = [];
  const pauses = [];
  const told = [];
  const outside = {
    now: () => 0,
    random: () => 1,
    async get(path, { index, stale }) {
      asked.push(stale ? 'stale' : index);
      const next = script.shift();
      if (!script.length) setImmediate(() => feed.stop());
      if (next instanceof Error) throw next;
      return next;
    },
    async sleep(ms, signal) {
      pauses.push(ms);
      if (!script.length) feed.stop();
      return signal;
    },
    ...more,
  };
  const feed = new Feed('/v1/x', outside, how, (each) => {
    told.push(each.error ? each.error.status : each.body);
  });
  feed.start();
  for (let turn = 0; turn < 200 && feed._abort; turn += 1) await new Promise(setImmediate);
  return { asked, pauses, told, feed };
}

test('each question carries the index of the last answer', async () => {
  const { asked, told } = await run([answer(1, 10), answer(2, 11), answer(3, 12)]);
  assert.deepEqual(asked, [0, 10, 11]);
  assert.deepEqual(told, [1, 2, 3]);
});

test('an index that goes back, or is 0, starts anew', async () => {
  const { asked } = await run([answer(1, 10), answer(2, 4), answer(3, 5), answer(4, 0), answer(5, 6)]);
  assert.deepEqual(asked, [0, 10, 0, 5, 0]);
  assert.equal(nextIndex(5, 5), 5);
  assert.equal(nextIndex(5, null), 0);
});

test('an answer without an index is asked for again after 5 s', async () => {
  const { asked, pauses } = await run([answer(1, null), answer(1, null)]);
  assert.deepEqual(asked, [0, 0]);
  assert.equal(pauses[0], 5000);
});

test('a view spends at most a tenth of its time: 250 ms to 10 s between answers', () => {
  assert.deepEqual([0, 24, 100, 5000].map(pauseAfter), [250, 250, 1000, 10000]);
});

test('after an error it asks without an index, later and later, and says so', async () => {
  const { asked, pauses, told } = await run([answer(1, 10), failure(0), failure(503), failure(0), answer(1, 10)]);
  assert.deepEqual(asked, [0, 10, 0, 0, 0]);
  assert.deepEqual(told, [1, 0, 503, 0, 1]);
  assert.deepEqual(pauses.slice(1, 4), [500, 1000, 2000]);
  assert.equal(retryAfter(20, 1), 30000);
  assert.ok(retryAfter(1, 0) < 500);
});

test('what is known stays when the agent goes away', async () => {
  const { feed } = await run([answer('known', 10), failure(0)]);
  assert.equal(feed.body, 'known');
  assert.equal(feed.error.status, 0);
});

test('a permission that is missing is asked for again after 30 s only; a thing that is gone is gone', async () => {
  const { pauses, feed } = await run([answer('x', 3), failure(403), failure(404)]);
  assert.deepEqual(pauses.slice(1, 3), [30000, 30000]);
  assert.equal(feed.body, undefined);
});

test('without a leader it shows what a server knows, and asks again soon', async () => {
  const { asked, told, feed, pauses } = await run([
    failure(500, 'No cluster leader'),
    answer('old', 9, { lastContactMs: 4000 }),
    answer('new', 12),
  ]);
  assert.deepEqual(asked, [0, 'stale', 0]);
  assert.deepEqual(told, ['old', 'new']);
  assert.equal(pauses[0], 2000);
  assert.equal(feed.knownLeader, true);
});

test('where it is known that there is no leader, it does not wait for one', async () => {
  const leaders = [false, false, true];
  const { asked, told } = await run([answer('old', 9), answer('older', 9), answer('new', 12)], {}, {
    isLeaderless: () => !leaders.shift(),
  });
  assert.deepEqual(asked, ['stale', 'stale', 0]);
  assert.deepEqual(told, ['old', 'older', 'new']);
});

test('where no updates are wanted, a feed asks once', async () => {
  assert.deepEqual((await run([answer(1, 5), answer(2, 6)], {}, { isLive: () => false })).asked, [0]);
});

test('the same answer again is not a new version', async () => {
  const { feed } = await run([answer({ a: 1 }, 10), answer({ a: 1 }, 11), answer({ a: 2 }, 12)]);
  assert.equal(feed.version, 2);
});

test('a feed that asks once stops after its answer, and after a refusal', async () => {
  assert.deepEqual((await run([answer(1, 5), answer(2, 6)], { once: true })).asked, [0]);
  assert.deepEqual((await run([failure(403), answer(2, 6)], { once: true })).asked, [0]);
  assert.deepEqual((await run([failure(0), answer(2, 6), answer(3, 7)], { once: true })).asked, [0, 0]);
});
