/** The timeline of a member as a list. */

import { html, moment, name, nothing, to as anchor } from './parts.js';
import { to } from './routes.js';
import { folded } from './why.js';

const TONES = {
  dead: 'bad',
  'force-left': 'bad',
  suspected: 'warn',
  'suspicion confirmed': 'warn',
  'name conflict': 'warn',
  alive: 'good',
  refuted: 'good',
  left: 'muted',
};
const SHAPES = { bad: '✕', warn: '▲', good: '●', muted: '○' };

/** A word of a timeline with its shape. */
export function happened(word) {
  const tone = TONES[word] ?? (word.startsWith('suspected and') ? 'warn' : 'muted');
  return html`<span class="state ${tone}"><span aria-hidden="true">${SHAPES[tone]}</span> ${name(word)}</span>`;
}

function peer(dc, event) {
  if (event.peers) return html`by ${event.peers.map((each) => html`${anchor(to.node(dc, each), name(each))} `)}`;
  return event.Peer ? html`by ${anchor(to.node(dc, event.Peer), name(event.Peer))}` : nothing;
}

/** The list, newest first; at most `most` lines. */
export function timelineList(dc, events, most = Infinity) {
  if (!events.length) return html`<p class="muted">This agent has seen no change of it.</p>`;
  return html`<ol class="timeline" aria-label="Timeline">
    ${folded(events)
      .slice(0, most)
      .map(
        (event) => html`<li>
      ${moment(event.At * 1000)}${event.until ? html` to ${moment(event.until * 1000)}` : nothing}
      ${happened(event.What)} <span>${peer(dc, event)} ${event.Detail ? html`<span class="muted">${name(event.Detail)}</span>` : nothing}</span>
    </li>`,
      )}
  </ol>`;
}
