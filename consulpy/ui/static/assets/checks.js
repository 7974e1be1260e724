/** Health checks: each a section with its whole output. */

import { copyText, facts, firstOf, html, name, nothing, outward, state } from './parts.js';
import { bytes, checkState, rank, visible, visibleLines } from './words.js';

/** Characters of an output that are drawn at once; the rest on request. */
const OUTPUT_MAX = 20000;
const FOLD_ABOVE = 4;
/** Checks that are drawn at once. */
const MOST = 50;

const failingFirst = (a, b) => rank(checkState(a.Status)) - rank(checkState(b.Status)) || (a.Name < b.Name ? -1 : 1);

function output(view, check) {
  const whole = view.state[`whole ${check.CheckID}`];
  const text = check.Output ?? '';
  if (!text) return html`<p class="muted">no output</p>`;
  const isCut = text.length > OUTPUT_MAX && !whole;
  const showAll = () => {
    view.state[`whole ${check.CheckID}`] = true;
    view.draw();
  };
  return html`<pre tabindex="0" role="group" aria-label=${`Output of ${visible(check.Name)}`}>${visibleLines(isCut ? text.slice(0, OUTPUT_MAX) : text)}</pre>
    <p class="row-of-buttons">
      <button type="button" @click=${() => copyText(view, text)}>Copy</button>
      ${isCut ? html`<button type="button" @click=${showAll}>Show all ${bytes(text.length)}</button> <span class="muted">the first ${bytes(OUTPUT_MAX)} are shown</span>` : nothing}
    </p>`;
}

function one(view, check, isOpen) {
  const word = checkState(check.Status);
  return html`<details class="check" ?open=${isOpen}>
    <summary>${state(word)} <strong>${name(check.Name || check.CheckID)}</strong></summary>
    <section aria-label=${visible(check.Name || check.CheckID)}>
      ${facts([
        ['CheckID', check.CheckID],
        check.Type && ['Type', check.Type],
        check.ServiceName ? ['Service', check.ServiceName] : ['Of', 'the whole node'],
        check.Status !== word && ['Status as registered', check.Status],
        check.Notes && ['Notes', outward(check.Notes)],
        check.ModifyIndex && ['ModifyIndex', String(check.ModifyIndex)],
      ])}
      ${output(view, check)}
    </section>
  </details>`;
}

/** The checks, failing ones first and open; passing ones folded when there are many. */
export function checkSections(view, checks, most = MOST) {
  if (!checks.length) return html`<p class="muted">No checks. A service without checks counts as passing.</p>`;
  const isMany = checks.length > FOLD_ABOVE;
  const sorted = [...checks].sort(failingFirst);
  const isOpen = (check) => checkState(check.Status) !== 'passing' || !isMany;
  return firstOf(view, 'checks', sorted, (some) => some.map((check) => one(view, check, isOpen(check))), most);
}
