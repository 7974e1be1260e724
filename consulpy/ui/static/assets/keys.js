/** Keys of the whole page. Single letters do nothing in inputs or with a modifier, and can be switched off. */

import { html } from './vendor/lit-html/lit-html.js';
import { tell } from './dialog.js';
import { to } from './routes.js';

const GO = {
  o: 'overview',
  s: 'services',
  n: 'nodes',
  k: 'kv',
  i: 'intentions',
  v: 'servers',
  m: 'map',
  e: 'events',
  a: 'agent',
};
const GO_WITHIN_MS = 1500;

const HELP = [
  ['Tab, Shift+Tab, Enter, Space, Esc', 'as everywhere; the first Tab: Skip to content'],
  ['/', 'to the filter; Esc clears it, then leaves it'],
  ['g then o s n k i v m e a', 'Overview, Services, Nodes, Key/Value, Intentions, Servers, Map, Events, Agent'],
  ['↑ ↓ PgUp PgDn Home End', 'move in a list; Enter opens'],
  ['[ ]', 'the previous or next part of a page'],
  ['?', 'this list'],
];

/** What a key means: `{go}`, `{tab}`, `'filter'`, `'help'` or null. `isGoing`: `g` was pressed before. Pure. */
export function meaning(key, isGoing) {
  if (isGoing && GO[key]) return { go: GO[key] };
  return { '/': 'filter', '?': 'help', '[': { tab: -1 }, ']': { tab: 1 } }[key] ?? null;
}

/** Listen to the keys of an application. */
export function listen(app) {
  let goUntilMs = 0;
  document.addEventListener('keydown', (event) => {
    if (!app.settings.hasKeys || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {Element} */ (event.target);
    if (target.closest?.('input, textarea, select, dialog, [contenteditable]')) return;
    const isGoing = performance.now() < goUntilMs;
    goUntilMs = event.key === 'g' && !isGoing ? performance.now() + GO_WITHIN_MS : 0;
    const found = meaning(event.key, isGoing);
    if (!found) return;
    event.preventDefault();
    if (found === 'filter') /** @type {HTMLElement | null} */ (document.querySelector('[data-filter]'))?.focus();
    else if (found === 'help')
      tell(
        'Keys',
        html`<dl class="facts wide">${HELP.map(([keys, does]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${does}</dd></div>`)}</dl>`,
      );
    else if (found.go) app.navigate(to.section(app.view.route.dc, found.go));
    else turn(found.tab);
  });
}

function turn(step) {
  const links = [...document.querySelectorAll('nav.tabs a')];
  const now = links.findIndex((each) => each.getAttribute('aria-current') === 'page');
  /** @type {HTMLElement | undefined} */ (links[now + step])?.click();
}
