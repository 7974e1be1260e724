/** Pieces of markup that every page uses. Text from outside goes in as text only. */

import { html, nothing } from './vendor/lit-html/lit-html.js';
import { Directive, directive } from './vendor/lit-html/directive.js';
import { noChange } from './vendor/lit-html/lit-html.js';
import { currentToken } from './api.js';
import { STATES, clockTime, commandLine, dateTime, duration, visible, visibleLines, webAddress } from './words.js';

export { html, nothing };

const here = new URL(import.meta.url).pathname;
/** The content path with its slashes, as `/ui/`. */
export const base = here.slice(0, here.lastIndexOf('/assets/') + 1);

/** The full address of a page. */
export const link = (path) => base + path;

/** Sets properties of an element's style: the policy forbids style attributes, not these. */
export const styled = directive(
  class extends Directive {
    update(part, [values]) {
      for (const [name, value] of Object.entries(values)) part.element.style.setProperty(name, value);
      return noChange;
    }

    render() {
      return noChange;
    }
  },
);

/** What a `select` shows; after the operator has chosen, attributes of its options say nothing any more. */
export const chosen = directive(
  class extends Directive {
    update(part, [value]) {
      queueMicrotask(() => {
        if (part.element.value !== value) part.element.value = value; // when the options are there
      });
      return noChange;
    }

    render() {
      return noChange;
    }
  },
);

/** A state: shape, word and colour. */
export function state(word, label = word) {
  const { shape, tone } = STATES[word] ?? STATES.unknown;
  return html`<span class="state ${tone}"><span aria-hidden="true">${shape}</span> ${label}</span>`;
}

/** A name from outside, kept from turning its neighbours around. */
export const name = (text) => html`<bdi>${visible(text)}</bdi>`;

/** Names from outside beside each other, each kept from turning the others around; at most `most` of them. */
export const names = (texts, most = 20) =>
  html`${texts.slice(0, most).map((each, at) => html`${at ? ', ' : ''}${name(each)}`)}${texts.length > most ? ', …' : ''}`;

/** Tags; of very many only the first, and how many more there are. */
export const labels = (tags, most) =>
  html`${tags.slice(0, most).map((tag) => html`<span class="tag">${name(tag)}</span> `)}${tags.length > most ? html`<span class="muted">and ${tags.length - most} more</span>` : nothing}`;

/** A link to a page of ours. */
export const to = (path, content) => html`<a href=${link(path)}>${content}</a>`;

/** A link to elsewhere if it is http or https, else plain text. */
export function outward(text) {
  const address = webAddress(text);
  return address ? html`<a href=${address} rel="noreferrer">${name(text)}</a>` : name(text);
}

/** A moment as what it is ago; `ms` since 1970. */
export function ago(ms) {
  if (!ms || ms < 0) return html`<span class="muted">unknown</span>`;
  return html`<time datetime=${new Date(ms).toISOString()} title=${dateTime(ms)}>${duration((Date.now() - ms) / 1000)}</time>`;
}

/** A moment as time of day, with the date if it is another day. */
export function moment(ms) {
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return html`<time datetime=${new Date(ms).toISOString()} title=${dateTime(ms)}>${isToday ? clockTime(ms) : dateTime(ms)}</time>`;
}

/** Names and values. A value may be markup of ours or text from outside. */
export const facts = (pairs) =>
  html`<dl class="facts">
    ${pairs.filter(Boolean).map(([term, value]) => html`<div><dt>${term}</dt><dd>${typeof value === 'string' ? name(value) : value}</dd></div>`)}
  </dl>`;

/** A map of text from outside as names and values. */
export const metadata = (map, none) =>
  Object.keys(map ?? {}).length
    ? html`<dl class="facts wide">
        ${Object.entries(map).map(([key, value]) => html`<div><dt>${name(key)}</dt><dd>${value === '' ? html`<span class="muted">empty</span>` : outward(value)}</dd></div>`)}
      </dl>`
    : html`<p class="muted">${none}</p>`;

/** Links to the parts of a thing; `items` are `[id, text, path]`. */
export const tabs = (label, items, current) =>
  html`<nav class="tabs" aria-label=${label}>
    ${items.map(([id, text, path]) => html`<a href=${link(path)} aria-current=${id === current ? 'page' : nothing}>${text}</a>`)}
  </nav>`;

/** Something that is missing or forbidden, in words. */
export const note = (...content) => html`<p class="note">${content}</p>`;

/** The right that was missing, as the agent names it. */
const rights = (lacks) => html`<code>${visible(lacks)}</code>`;

/** What a refused request shows in place of its answer. */
export function refused(dc, error) {
  const missing = /lacks permission|missing|requires/i.test(error.message) ? error.message : '';
  const hasToken = Boolean(currentToken());
  const why = /ACL not found/i.test(error.message)
    ? 'The agent does not know the token in use.'
    : `${hasToken ? 'The token in use' : 'Who has no token'} may not read this.`;
  return html`<div class="refusal" role="alert">
    <h2>Permission denied</h2>
    <p>${error.lacks ? html`It needs ${rights(error.lacks)}.` : missing ? name(missing) : why} ${to(`${encodeURIComponent(dc)}/setting`, hasToken ? 'Use another token' : 'Use a token')}.</p>
  </div>`;
}

/** A save or an action that failed: the server's own words. */
export const failure = (error) =>
  error ? html`<p class="failure" role="alert"><span aria-hidden="true">✕</span> ${name(error.message)}${error.lacks ? html`: it needs ${rights(error.lacks)}` : nothing}</p>` : nothing;

/** Grey rows while the first answer is on its way; they show after 300 ms (CSS). */
export const loading = (rows = 6) =>
  html`<div class="loading" aria-hidden="true">${Array.from({ length: rows }, () => html`<div></div>`)}</div>`;

/** What a page shows of one feed: grey rows, an error, or what `draw` makes of the answer. */
export function shown(view, feed, draw) {
  if (feed.error?.status === 403) return refused(view.route.dc, feed.error);
  if (feed.body !== undefined) return draw(feed.body);
  if (feed.error && feed.error.status !== 0) return failure(feed.error);
  return loading();
}

/** The first `most` of a long list, drawn by `draw`, and a button for the others; `name`: what the view remembers that by. */
export function firstOf(view, name, items, draw, most = 100) {
  const isCut = items.length > most && !view.state[`all ${name}`];
  const showAll = () => {
    view.state[`all ${name}`] = true;
    view.draw();
  };
  return html`${draw(isCut ? items.slice(0, most) : items)}
    ${isCut ? html`<p><button type="button" @click=${showAll}>Show all ${items.length}</button> <span class="muted">the first ${most} are shown</span></p>` : nothing}`;
}

/** Text with a button that copies it as it is, marks and all. */
export function copyable(view, raw, shownText = visible(raw), label = 'Copy') {
  const copy = () => copyText(view, raw);
  return html`<span class="copyable"><span class="mono">${shownText}</span> <button type="button" class="quiet" @click=${copy}>${label}</button></span>`;
}

/** To the clipboard; over plain http browsers have only the older way. */
export async function copyText(view, raw) {
  try {
    await navigator.clipboard.writeText(raw);
    view.say('Copied');
  } catch {
    const area = document.createElement('textarea');
    area.value = raw;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    view.say(done ? 'Copied' : 'This browser does not allow copying here');
  }
}

/** A command about the view's datacenter, with arguments from outside. */
export const command = (view, words, ...args) =>
  commandLine(words, args, view.app.isOwn(view.route.dc) ? '' : view.route.dc);

/** A `curl` call of the API; with the token that is in use, which is not shown. */
const curl = (path) =>
  `curl ${currentToken() ? '-H "X-Consul-Token: $CONSUL_HTTP_TOKEN" ' : ''}'${location.origin}${path.replaceAll("'", '%27')}'`;

/** The commands that show the same; each `[command, curl path]`, '' where there is none. */
export function sameOnCommandLine(...pairs) {
  return html`<details class="same">
    <summary>The same on the command line</summary>
    ${pairs.map(
      ([text, path]) => html`${text ? html`<pre tabindex="0">${visibleLines(text)}</pre>` : nothing}
        ${path ? html`<pre tabindex="0">${visibleLines(curl(path))}</pre>` : nothing}`,
    )}
  </details>`;
}

/** A button that may be forbidden for a reason, which is then said. While something is done it keeps the focus. */
export function action(view, label, run, { danger = false, submit = false } = {}) {
  const why = view.app.whyNoWrites();
  return html`<button type=${submit ? 'submit' : 'button'} class=${danger ? 'danger' : submit ? 'primary' : ''} ?disabled=${Boolean(why)} aria-disabled=${view.isBusy ? 'true' : nothing} title=${why || nothing} @click=${run ?? nothing}>
    ${label}
  </button>`;
}
