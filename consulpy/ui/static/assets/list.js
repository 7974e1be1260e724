/** Filter, order and stillness of long lists. Pure. */

import { rank } from './words.js';

/** Words of a filter: `db tag:v1 node:n1 status:critical -old`. */
export function parseFilter(text) {
  return String(text ?? '')
    .toLowerCase()
    .split(/\s+/)
    .map((word) => {
      const not = word.startsWith('-') && word.length > 1;
      const bare = not ? word.slice(1) : word;
      const [, field, value] = /^(tag|node|status|name):(.*)$/.exec(bare) ?? [];
      return { not, field: field ?? '', value: field ? value : bare };
    })
    .filter((word) => word.value);
}

function has(row, { field, value }) {
  if (field === 'status') return (row.states ?? [row.state]).some((state) => state === value);
  if (field === 'name') return row.name.toLowerCase().includes(value);
  if (field) return (row[field] ?? []).some((each) => each.toLowerCase().includes(value));
  return row.text.includes(value);
}

/**
 * The rows that match.
 * @param {Array} rows each `{key, name, state, text}`; `text` in lower case; `states`, `tag`, `node` are lists
 * @param {string} filter
 * @param {string[]} statuses only rows in one of these states; all if empty
 */
export function filterRows(rows, filter, statuses) {
  const words = parseFilter(filter);
  const wanted = statuses.length ? new Set(statuses) : null;
  if (!words.length && !wanted) return rows;
  return rows.filter(
    (row) =>
      (!wanted || (row.states ?? [row.state]).some((state) => wanted.has(state))) &&
      words.every((word) => has(row, word) !== word.not),
  );
}

const PLAIN = /^[\x20-\x7e]*$/;
let collator;

/** A text in whose order names of ASCII are as in a collator's: numbers by value, `_` first, capitals as small letters. */
const plainKey = (name) =>
  name
    .toLowerCase()
    .replaceAll('_', '!')
    .replace(/0*(\d+)/g, (_, digits) => String.fromCharCode(48 + Math.min(digits.length, 48)) + digits);

const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Rows by name, then by key. A collator is made only for names that need one: browsers take 20 ms to load its tables. */
export function byName(rows) {
  const isPlain = rows.every((row) => PLAIN.test(row.name));
  const compare = isPlain ? byText : (collator ??= new Intl.Collator('en', { numeric: true })).compare;
  return rows
    .map((row) => [isPlain ? plainKey(row.name) : row.name, row])
    .sort((a, b) => compare(a[0], b[0]) || byText(a[1].key, b[1].key))
    .map(([, row]) => row);
}

function worstFirst(a, b) {
  return rank(a.state) - rank(b.state);
}

/**
 * The order for `sort`: '' is `usual` (the worst first), else `column:asc` or `column:desc`; then by name.
 * `all`: the rows before a filter; they are sorted by name once and remembered.
 */
export function sortRows(rows, columns, sort, all = rows, usual = worstFirst) {
  const [id, direction] = String(sort ?? '').split(':');
  const named = allByName(all);
  const wanted = new Set(rows);
  const sorted = rows.length === named.length ? [...named] : named.filter((row) => wanted.has(row));
  const turn = direction === 'desc' ? -1 : 1;
  if (id === 'name') return turn < 0 ? sorted.reverse() : sorted;
  const order = (id === 'state' ? worstFirst : columns.find((each) => each.id === id)?.sort) ?? usual;
  return sorted.sort((a, b) => turn * order(a, b)); // stable: equal ones stay in the order of their names
}

let known = { rows: null, sorted: null };
function allByName(rows) {
  if (known.rows !== rows) known = { rows, sorted: byName(rows) };
  return known.sorted;
}

/**
 * What a list that is being read shows after a change: rows stay where they were, rows that are gone go.
 * @param {string[]} before keys as they are shown
 * @param {string[]} after keys as they would be shown
 * @returns {{keys: string[], waiting: number}} `waiting`: rows that would come or move
 */
export function hold(before, after) {
  const there = new Set(after);
  const kept = before.filter((key) => there.has(key));
  const shown = new Set(kept);
  const fresh = after.filter((key) => !shown.has(key)).length;
  const order = after.filter((key) => shown.has(key));
  const moved = order.reduce((sum, key, at) => sum + (key !== kept[at] ? 1 : 0), 0);
  return { keys: kept, waiting: fresh + moved };
}

/** The rows to draw: `{from, to}` of `total`, `extra` more at each end. */
export function windowOf(total, offsetPx, heightPx, rowPx, extra = 10) {
  if (total <= 60) return { from: 0, to: total };
  const from = Math.min(Math.max(0, Math.floor(offsetPx / rowPx) - extra), Math.max(0, total - 1));
  return { from, to: Math.min(total, Math.max(from + 1, Math.ceil((offsetPx + heightPx) / rowPx) + extra)) };
}

/** Whether what is drawn, `{from, to}`, still has all rows in sight and `margin` more at each end. */
export function isCovered(drawn, total, offsetPx, heightPx, rowPx, margin = 4) {
  const { from, to } = windowOf(total, offsetPx, heightPx, rowPx, margin);
  return drawn.from <= from && to <= drawn.to;
}
