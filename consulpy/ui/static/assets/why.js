/** Why a member failed: a sentence out of its timeline, and the timeline with flaps folded. Pure. */

import { clockTime } from './words.js';

const DURING_SUSPICION = ['suspicion confirmed', 'reached by TCP only'];
/** Refuted suspicions in a row that become one line; as `consulpy why` does. */
const FOLD_FROM = 3;

const at = (event) => clockTime(event.At * 1000);

/** Whether this agent only heard of it. */
const isHearsay = (event) => !event?.Detail || event.Detail === 'gossip' || event.Detail === 'push/pull';

function list(words) {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`;
}

/** The index after a suspicion that begins at `begin` and was refuted; `begin` if there is none. */
function afterFlap(events, begin) {
  if (events[begin]?.What !== 'suspected') return begin;
  let end = begin + 1;
  while (end < events.length && DURING_SUSPICION.includes(events[end].What)) end += 1;
  return end < events.length && events[end].What === 'alive' ? end + 1 : begin;
}

/**
 * The timeline for a list, newest first; many flaps in a row are one entry with `times` and `until`.
 * @param {Array<{At: number, What: string, Peer?: string, Detail?: string}>} events oldest first, `At` in seconds since 1970
 * @returns {Array<{At: number, What: string, Peer?: string, Detail?: string, times?: number, until?: number, peers?: string[]}>}
 */
export function folded(events) {
  const lines = [];
  for (let begin = 0; begin < events.length;) {
    let end = begin;
    let times = 0;
    for (let after = afterFlap(events, end); after > end; after = afterFlap(events, end)) {
      end = after;
      times += 1;
    }
    if (times >= FOLD_FROM) {
      const peers = [
        ...new Set(
          events
            .slice(begin, end)
            .filter((event) => event.What === 'suspected')
            .map((event) => event.Peer),
        ),
      ].sort();
      lines.push({
        ...events[begin],
        What: `suspected and refuted ${times} times`,
        times,
        until: events[end - 1].At,
        Peer: '',
        peers,
        Detail: '',
      });
      begin = end;
    } else {
      lines.push(events[begin]);
      begin += 1;
    }
  }
  return lines.reverse();
}

/** The last suspicion that ended in death: `{suspected, confirmed, dead}`; parts that were not seen are undefined. */
export function lastDeath(events) {
  const deadAt = events.findLastIndex((event) => event.What === 'dead' || event.What === 'force-left');
  if (deadAt < 0) return null;
  let begin = deadAt - 1;
  while (begin >= 0 && DURING_SUSPICION.includes(events[begin].What)) begin -= 1;
  const suspected = events[begin]?.What === 'suspected' ? events[begin] : undefined;
  const between = suspected ? events.slice(begin + 1, deadAt) : [];
  return {
    suspected,
    confirmed: between.filter((event) => event.What === 'suspicion confirmed'),
    dead: events[deadAt],
  };
}

/** `Suspected by c1 at 03:12:36: no ack … Confirmed by s1 and c3. Declared dead at 03:12:41.`; '' if the timeline does not tell. */
export function sentence(events) {
  const found = lastDeath(events);
  if (!found) return '';
  const { suspected, confirmed = [], dead } = found;
  const parts = [];
  if (suspected) {
    const detail = !suspected.Detail
      ? ''
      : isHearsay(suspected)
        ? `, heard by ${suspected.Detail}`
        : `: ${suspected.Detail}`;
    parts.push(`Suspected by ${suspected.Peer || 'an unknown member'} at ${at(suspected)}${detail}.`);
  }
  const peers = [...new Set(confirmed.map((event) => event.Peer))];
  const tried = isHearsay(suspected) ? confirmed.find((event) => !isHearsay(event)) : undefined;
  if (peers.length) parts.push(`Confirmed by ${list(peers)}${tried ? ` (${tried.Peer}: ${tried.Detail})` : ''}.`);
  if (dead.What === 'force-left') parts.push(`Told to leave${dead.Peer ? ` by ${dead.Peer}` : ''} at ${at(dead)}.`);
  else parts.push(`Declared dead at ${at(dead)}${suspected || !dead.Peer ? '' : ` by ${dead.Peer}`}.`);
  return parts.join(' ');
}

/** The short reason for a list: `suspected by c1 after …`. */
export function reason(events) {
  const found = lastDeath(events);
  if (!found?.suspected) return found ? `declared dead${found.dead.Peer ? ` by ${found.dead.Peer}` : ''}` : '';
  const { suspected, confirmed } = found;
  const by = `suspected by ${suspected.Peer || 'an unknown member'}`;
  if (!isHearsay(suspected)) return `${by}: ${suspected.Detail}`;
  const tried = confirmed.find((event) => !isHearsay(event));
  return tried ? `${by}, confirmed by ${tried.Peer}: ${tried.Detail}` : `${by}${suspected.Detail ? `, heard by ${suspected.Detail}` : ''}`;
}
