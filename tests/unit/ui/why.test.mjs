/** Why a member failed, in a sentence; its timeline with flaps folded. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { folded, reason, sentence } from '../../../consulpy/ui/static/assets/why.js';

process.env.TZ = 'UTC';
const at = (second, What, Peer = '', Detail = '') => ({ At: 11400 + second, What, Peer, Detail, Incarnation: 1 });
const TRIED = 'no ack to a ping, no answer of 1 helper, no answer by TCP';

test('who suspected it and how, who confirmed, when it was declared dead', () => {
  const events = [
    at(0, 'alive', '', 'at 10.0.0.1:8301'),
    at(30, 'suspected', 'c1', TRIED),
    at(31, 'suspicion confirmed', 's1', 'gossip'),
    at(32, 'suspicion confirmed', 'c3', 'gossip'),
    at(35, 'dead', 's1'),
  ];
  assert.equal(
    sentence(events),
    `Suspected by c1 at 03:10:30: ${TRIED}. Confirmed by s1 and c3. Declared dead at 03:10:35.`,
  );
  assert.equal(reason(events), `suspected by c1: ${TRIED}`);
});

test('what was only heard is said to be heard, with what somebody tried', () => {
  const events = [
    at(30, 'suspected', 'c1', 'gossip'),
    at(31, 'suspicion confirmed', 's1', TRIED),
    at(35, 'dead', 'c2'),
  ];
  assert.equal(
    sentence(events),
    `Suspected by c1 at 03:10:30, heard by gossip. Confirmed by s1 (s1: ${TRIED}). Declared dead at 03:10:35.`,
  );
  assert.equal(reason(events), `suspected by c1, confirmed by s1: ${TRIED}`);
  assert.equal(reason(events.filter((event) => event.Peer !== 's1')), 'suspected by c1, heard by gossip');
});

test('an agent that saw only the end says only that', () => {
  assert.equal(sentence([at(35, 'dead', 'c2')]), 'Declared dead at 03:10:35 by c2.');
  assert.equal(sentence([at(1, 'alive')]), '');
  assert.equal(sentence([]), '');
  assert.equal(sentence([at(35, 'force-left', 's1')]), 'Told to leave by s1 at 03:10:35.');
});

test('the last death counts, not an older one', () => {
  const events = [
    at(1, 'suspected', 'old', TRIED),
    at(2, 'dead', 'old'),
    at(3, 'alive'),
    at(4, 'suspected', 'new', TRIED),
    at(5, 'dead', 'new'),
  ];
  assert.match(sentence(events), /^Suspected by new/);
});

test('three refuted suspicions or more in a row are one line; two are not', () => {
  const flap = (second, peer) => [
    at(second, 'suspected', peer, 'gossip'),
    at(second + 1, 'alive', 'x', 'it refuted the suspicion'),
  ];
  const many = folded([at(0, 'alive'), ...flap(1, 'b'), ...flap(3, 'a'), ...flap(5, 'b'), at(9, 'left', 'x')]);
  assert.deepEqual(
    many.map((event) => event.What),
    ['left', 'suspected and refuted 3 times', 'alive'],
  );
  assert.deepEqual(many[1].peers, ['a', 'b']);
  assert.equal(many[1].until, 11406);
  assert.equal(folded([...flap(1, 'a'), ...flap(3, 'a')]).length, 4);
});
