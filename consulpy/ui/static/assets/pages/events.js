/** User events and changes of members, newest first, as they come. */

import { firstOf, html, moment, name, nothing, refused, sameOnCommandLine, to as anchor } from '../parts.js';
import { to } from '../routes.js';
import { happened } from '../timeline.js';
import { fromBase64 } from '../bytes.js';
import { firstLine } from '../words.js';

/** Changes that are kept. */
const MOST = 500;

/** The answers tell the last state; the history is what came while one looked. */
function collect(view, feed) {
  const known = (view.state.seen ??= new Map());
  const add = (key, entry) => known.has(key) || known.set(key, entry);
  if (feed === 'changes')
    for (const each of view.feeds.changes.body ?? [])
      add(`${each.Name} ${each.At} ${each.What}`, { atMs: each.At * 1000, change: each });
  if (feed === 'events')
    for (const each of view.feeds.events.body ?? [])
      add(each.ID, { atMs: view.state.hasEvents ? Date.now() : 0, event: each });
  if (feed === 'events') view.state.hasEvents = true;
  for (const key of [...known.keys()].slice(0, Math.max(0, known.size - MOST))) known.delete(key);
}

function payload(event) {
  try {
    return firstLine(new TextDecoder().decode(fromBase64(event.Payload)));
  } catch {
    return '';
  }
}

const line = (view, { atMs, change, event }) => html`<li>
  ${atMs ? moment(atMs) : html`<span class="muted">earlier</span>`}
  ${change ? happened(change.What) : html`<span class="state muted"><span aria-hidden="true">◇</span> event ${name(event.Name)}</span>`}
  <span>${change ? html`${anchor(to.node(view.route.dc, change.Name), name(change.Name))} ${change.Peer && change.Peer !== change.Name ? html`by ${name(change.Peer)}` : nothing} <span class="muted">${name(change.Detail)}</span>` : html`<bdi>${payload(event)}</bdi> <span class="muted mono">${name(event.ID)}</span>`}</span>
</li>`;

export const page = {
  title: () => 'Events',
  feeds: () => ({ changes: { path: '/v1/agent/timeline', optional: true }, events: '/v1/event/list' }),
  changed: collect,
  render(view) {
    const seen = [...(view.state.seen?.values() ?? [])].reverse().sort((a, b) => b.atMs - a.atMs);
    const { changes, events } = view.feeds;
    return html`<h1>Events</h1>
      <p class="muted">What this agent has seen; an event has no time of its own: it is when it came while this page was open.</p>
      ${events.error?.status === 403 ? refused(view.route.dc, events.error) : nothing}
      ${changes.error?.status === 404 ? html`<p class="note">This agent has no timeline of its members: only user events are shown.</p>` : nothing}
      ${seen.length ? firstOf(view, 'events', seen, (some) => html`<ol class="timeline" aria-label="Events">${some.map((each) => line(view, each))}</ol>`) : html`<p>Nothing yet.</p><pre tabindex="0">consulpy event -name=deploy payload</pre>`}
      ${sameOnCommandLine(['consulpy monitor', '/v1/event/list'], ['', '/v1/agent/timeline'])}`;
  },
};
