/** A list with filter, states, order and keys that draws only the rows in sight. */

import { html, nothing, state, styled } from './parts.js';
import { repeat } from './vendor/lit-html/directives/repeat.js';
import { filterRows, hold, isCovered, sortRows, windowOf } from './list.js';
import { count } from './words.js';

const MARK_MS = 2000;

function rowHeight() {
  return Number.parseInt(getComputedStyle(document.documentElement).getPropertyValue('--row'), 10) || 36;
}

/**
 * One list of a view. A row is `{key, name, state, href, text, mark, …}`: `href` the address that Enter opens, `text` what the
 * filter looks in, `mark` a string that changes when the row should be marked as changed.
 */
export class Table {
  /**
   * @param view the view that it is in
   * @param {{name: string, one: string, many?: string, columns: Array, states?: string[], placeholder?: string,
   *   kind?: string, empty: () => any, order?: (a: any, b: any) => number}} how `columns`: `{id, title, cell(row, tabindex), sort?}`; `states`: the buttons;
   *   `order`: compares rows where nothing else is asked for
   */
  constructor(view, how) {
    this.view = view;
    this.how = how;
    this.total = 0;
    this.shown = [];
    this.waiting = 0;
    this._rows = null;
    this._counts = new Map();
    this._settings = '';
    this._order = null;
    this._marks = new Map();
    this._marked = new Map();
    this._focus = null;
    this._window = { from: 0, to: 60 };
    this._onScroll = () => this._scrolled();
    addEventListener('scroll', this._onScroll, { passive: true });
    addEventListener('resize', this._onScroll, { passive: true });
    view.onStop(() => {
      removeEventListener('scroll', this._onScroll);
      removeEventListener('resize', this._onScroll);
    });
  }

  get _body() {
    return document.querySelector(`[data-table="${this.how.name}"]`);
  }

  get _isRead() {
    const body = this._body;
    return Boolean(body) && (body.matches(':hover') || body.contains(document.activeElement));
  }

  /** Take the rows; cheap if they and the filter are the same as before. */
  update(rows) {
    const { filter, status, sort } = this.view.settings(['filter', 'status', 'sort']);
    const settings = JSON.stringify([filter, status, sort]);
    if (rows === this._rows && settings === this._settings) return;
    const isOther = settings !== this._settings;
    const statuses = status ? status.split(',') : [];
    const wanted = sortRows(filterRows(rows, filter, statuses), this.how.columns, sort, rows, this.how.order);
    if (rows !== this._rows) this._count(rows);
    this._noteChanges(rows);
    this.total = rows.length;
    this._fresh = wanted;
    this._rows = rows;
    this._settings = settings;
    const before = this._order;
    this.waiting = 0;
    this.shown = wanted;
    if (!isOther && before && this._isRead) {
      const held = hold(
        before,
        wanted.map((row) => row.key),
      );
      if (held.waiting) {
        const byKey = new Map(wanted.map((row) => [row.key, row]));
        this.shown = held.keys.map((key) => byKey.get(key));
        this.waiting = held.waiting;
      }
    }
    this._order = this.shown.map((row) => row.key);
    this._look();
  }

  _count(rows) {
    this._counts = new Map();
    for (const row of rows)
      for (const word of row.states ?? [row.state]) this._counts.set(word, (this._counts.get(word) ?? 0) + 1);
  }

  _noteChanges(rows) {
    const marks = new Map(rows.map((row) => [row.key, row.mark]));
    if (this._rows && rows !== this._rows && this._marks.size) {
      const until = performance.now() + MARK_MS;
      let changed = 0;
      for (const [key, mark] of marks) {
        if (this._marks.get(key) === mark) continue;
        changed += 1;
        if (changed <= 200) this._marked.set(key, until);
      }
      for (const key of this._marks.keys()) if (!marks.has(key)) changed += 1;
      if (changed) {
        this.view.announce(`${count(changed, this.how.one, this.how.many)} changed`, changed);
        setTimeout(() => {
          const now = performance.now();
          for (const [key, end] of this._marked) if (end <= now + 10) this._marked.delete(key);
          this.view.draw();
        }, MARK_MS);
      }
    }
    this._marks = marks;
  }

  _showWaiting() {
    this.shown = this._fresh;
    this._order = this.shown.map((row) => row.key);
    this.waiting = 0;
    this._look();
    this.view.draw();
  }

  /** Where the page stands: how many rows there are, the pixels above those in sight, pixels in sight, pixels of a row. */
  get _sight() {
    const top = this._body ? -this._body.getBoundingClientRect().top : 0;
    return [this.shown.length, Math.max(0, top), innerHeight, rowHeight()];
  }

  _look() {
    this._window = windowOf(...this._sight);
  }

  _scrolled() {
    if (this._isLooking) return;
    this._isLooking = true;
    requestAnimationFrame(() => {
      this._isLooking = false;
      const sight = this._sight;
      if (isCovered(this._window, ...sight)) return; // a drawing for some rows, not for each
      this._window = windowOf(...sight);
      this.view.drawNow();
    });
  }

  _keydown(event) {
    const page = Math.max(1, Math.floor(innerHeight / rowHeight()) - 4);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const current = event.target.closest('[role=row]')?.dataset.key;
    const at = this.shown.findIndex((row) => row.key === current);
    if (at < 0) return;
    event.preventDefault();
    this.focusRow(Math.min(this.shown.length - 1, Math.max(0, at + step)));
  }

  /** Move to a row, drawing it first if it is not drawn. */
  focusRow(at) {
    const row = this.shown[at];
    if (!row) return;
    this._focus = row.key;
    this.view.drawNow();
    const rows = /** @type {HTMLElement[]} */ ([...this._body.children]);
    const element = rows.find((each) => each.dataset.key === row.key);
    /** @type {HTMLElement | null | undefined} */ (element?.querySelector('a, button, input'))?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: 'nearest' });
    this._scrolled();
  }

  _toggle(word) {
    const now = new Set((this.view.settings(['status']).status || '').split(',').filter(Boolean));
    if (!now.delete(word)) now.add(word);
    this.view.set({ status: [...now].join(',') });
  }

  _sortBy(column) {
    const [id, direction] = (this.view.settings(['sort']).sort || '').split(':');
    this.view.set({ sort: id !== column.id ? `${column.id}:asc` : direction === 'asc' ? `${column.id}:desc` : '' });
  }

  /** `3 of 16` for the heading. */
  get summary() {
    return this.shown.length === this.total ? String(this.total) : `${this.shown.length} of ${this.total}`;
  }

  /** The search box and the buttons of states. */
  tools(extra = nothing) {
    const { filter, status } = this.view.settings(['filter', 'status']);
    const pressed = new Set((status || '').split(','));
    const counts = this._counts;
    const type = (event) => this.view.set({ filter: event.target.value }, true);
    const label = `Filter ${this.how.many ?? `${this.how.one}s`}`;
    const states = this.how.states ?? [];
    const words = states.length <= 4 ? states : states.filter((word) => counts.get(word) || pressed.has(word));
    const escape = (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      if (event.target.value) this.view.set({ filter: '' }, true);
      else event.target.blur();
    };
    return html`<div class="tools">
      <input type="search" aria-label=${label} placeholder=${this.how.placeholder ?? label} .value=${filter} @input=${type} @keydown=${escape} autocomplete="off" spellcheck="false" data-filter />
      ${
        words.length
          ? html`<div class="toggles" role="group" aria-label="States">
            ${words.map(
              (word) => html`<button type="button" aria-pressed=${pressed.has(word)} @click=${() => this._toggle(word)}>
                ${state(word, word[0].toUpperCase() + word.slice(1))} ${this._rows ? (counts.get(word) ?? 0) : ''}
              </button>`,
            )}
          </div>`
          : nothing
      }
      ${extra}
    </div>`;
  }

  /** The rows. */
  render() {
    const { columns, name: label } = this.how;
    if (!this.total && this.view.app.hidden()) return html`<div class="empty"><p>No ${this.how.one} that may be read.</p></div>`;
    if (!this.total) return html`<div class="empty">${this.how.empty()}</div>`;
    if (!this.shown.length && !this.waiting) {
      const clear = () => this.view.set({ filter: '', status: '' });
      return html`<div class="empty"><p>No ${this.how.one} matches</p><button type="button" @click=${clear}>Clear</button></div>`;
    }
    const [sorted, direction] = (this.view.settings(['sort']).sort || '').split(':');
    const { rows, before, after, gapBefore, gapAfter } = this._drawn();
    return html`${this.waiting ? html`<button type="button" class="waiting" @click=${() => this._showWaiting()}>${this.waiting} changed, show</button>` : nothing}
      <div class="table" role="table" aria-label=${label} aria-rowcount=${this.shown.length + 1} aria-colcount=${columns.length}>
        <div role="rowgroup" class="head">
          <div role="row" aria-rowindex="1" class="row ${this.how.kind ?? ''}">
            ${columns.map(
              (
                column,
              ) => html`<div role="columnheader" class="cell c-${column.id}" aria-sort=${column.id === sorted ? `${direction}ending` : nothing}>
                ${
                  column.title && (column.sort || column.id === 'name' || column.id === 'state')
                    ? html`<button type="button" class="sort" @click=${() => this._sortBy(column)}>
                      ${column.title}<span aria-hidden="true">${column.id === sorted ? (direction === 'desc' ? ' ▾' : ' ▴') : ''}</span>
                    </button>`
                    : column.title
                }
              </div>`,
            )}
          </div>
        </div>
        <div role="rowgroup" class="body" data-table=${label} ${styled({ 'padding-top': `${before}px`, 'padding-bottom': `${after}px` })} @keydown=${this._keydown.bind(this)} @focusin=${(event) => this._focused(event)}>
          ${repeat(
            rows,
            ({ row }) => row.key,
            ({ row, at, gap }) => this._row(row, at, gap === 'before' ? gapBefore : 0, gap === 'after' ? gapAfter : 0),
          )}
        </div>
      </div>`;
  }

  _focused(event) {
    const key = event.target.closest('[role=row]')?.dataset.key;
    if (key !== undefined && key !== this._focus) {
      this._focus = key;
      this.view.draw();
    }
  }

  /** Which rows are drawn, and the room of those that are not: the focused one is always there. */
  _drawn() {
    const total = this.shown.length;
    const from = Math.min(this._window.from, total);
    const to = Math.min(Math.max(this._window.to, from), total);
    const px = rowHeight();
    const rows = [];
    for (let at = from; at < to; at += 1) rows.push({ row: this.shown[at], at });
    let [before, after, gapBefore, gapAfter] = [from * px, (total - to) * px, 0, 0];
    const focus =
      this._focus === null || total === to - from ? -1 : this.shown.findIndex((row) => row.key === this._focus);
    if (focus >= 0 && focus < from) {
      rows.unshift({ row: this.shown[focus], at: focus, gap: 'after' });
      before = focus * px;
      gapAfter = (from - focus - 1) * px;
    } else if (focus >= to) {
      rows.push({ row: this.shown[focus], at: focus, gap: 'before' });
      gapBefore = (focus - to) * px;
      after = (total - focus - 1) * px;
    }
    return { rows, before, after, gapBefore, gapAfter };
  }

  _row(row, at, gapBefore, gapAfter) {
    const isCurrent = this._focus === null || !this._marks.has(this._focus) ? at === 0 : row.key === this._focus;
    const isMarked = this._marked.has(row.key);
    return html`<div role="row" class="row ${this.how.kind ?? ''} ${isMarked ? 'marked' : ''} ${row.tone ?? ''}" aria-rowindex=${at + 2} data-key=${row.key} ${styled({ 'margin-top': `${gapBefore}px`, 'margin-bottom': `${gapAfter}px` })}>
      ${this.how.columns.map((column) => html`<div role="cell" class="cell c-${column.id}">${column.cell(row, isCurrent ? 0 : -1)}</div>`)}
    </div>`;
  }
}
