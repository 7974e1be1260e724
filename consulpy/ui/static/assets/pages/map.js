/** Round trips: a picture of the network coordinates, and the same as a table. */

import { chosen, html, link, name, note, nothing, sameOnCommandLine, shown } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';
import { milliseconds, nearest, plane } from '../map.js';
import { svg } from '../vendor/lit-html/lit-html.js';
import { byName } from '../list.js';
import { commandLine, visible } from '../words.js';

const path = (dc) => withQuery('/v1/coordinate/nodes', { dc });
const [WIDTH_MAX, EDGE] = [900, 48];
/** Names are drawn up to this many nodes, points up to the second number. */
const NAMES_MAX = 40;
const POINTS_MAX = 400;
/** Pixels of a line of names. */
const LINE = 15;

const columns = [
  {
    id: 'name',
    title: 'To',
    cell: (row, tab) => html`<a href=${link(row.path)} tabindex=${tab}>${name(row.name)}</a>`,
  },
  { id: 'rtt', title: 'Round trip', cell: (row) => milliseconds(row.ms), sort: (a, b) => a.ms - b.ms },
];

/** Names beside their points; one that would cover another goes below it. */
function labels(spots) {
  const done = [];
  for (const { node, at } of [...spots].sort((a, b) => a.at[1] - b.at[1])) {
    const one = { text: visible(node).slice(0, 24), x: at[0] + 9, y: at[1] + 4 };
    const width = (each) => 8 * each.text.length;
    for (const each of done)
      if (one.x < each.x + width(each) && each.x < one.x + width(one) && one.y < each.y + LINE && each.y < one.y + LINE)
        one.y = each.y + LINE;
    done.push(one);
    done.sort((a, b) => a.y - b.y);
  }
  return done;
}

function picture(coordinates, from, width) {
  const height = Math.max(200, width * 0.45);
  const some = coordinates.slice(0, POINTS_MAX);
  const { points, share } = plane(some.map((each) => each.Coord.Vec));
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  if (left === right && top === bottom)
    return note('The coordinates of all nodes are the same so far: there is no picture of them.');
  const scale = Math.min((width - 2 * EDGE) / (right - left), (height - 2 * EDGE) / (bottom - top));
  /** @type {(point: number[]) => number[]} */
  const place = ([x, y]) => [
    width / 2 + (x - (left + right) / 2) * scale,
    height / 2 + (y - (top + bottom) / 2) * scale,
  ];
  const spots = points.map((point, at) => ({ node: some[at].Node, at: place(point) }));
  const origin = spots.find((spot) => spot.node === from);
  const hasNames = some.length <= NAMES_MAX;
  const names = hasNames ? labels(spots) : [];
  return html`<svg class="map" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${`Map of ${some.length} nodes; the table below has the same`}>
      ${hasNames && origin ? spots.map(({ at: [x, y] }) => svg`<line x1=${origin.at[0]} y1=${origin.at[1]} x2=${x} y2=${y} />`) : nothing}
      ${spots.map(({ node, at: [x, y] }) => svg`<circle class=${node === from ? 'from' : ''} cx=${x} cy=${y} r=${hasNames ? 6 : 4} />`)}
      ${names.map(({ text, x, y }) => svg`<text x=${x} y=${y}>${text}</text>`)}
    </svg>
    <p class="muted">It shows ${Math.round(share * 100)} % of the distances${some.length < coordinates.length ? ` of the first ${some.length} of ${coordinates.length} nodes` : ''}; heights (the way from a node to its network) are not in the picture.</p>`;
}

function rows(dc, coordinates, from) {
  return nearest(coordinates, from).map((each) => ({
    key: each.name,
    name: each.name,
    ms: each.ms,
    path: to.node(dc, each.name),
    text: each.name.toLowerCase(),
    state: '',
    mark: '',
  }));
}

export const page = {
  title: () => 'Map',
  feeds: (route) => ({ coordinates: { path: path(route.dc), pollMs: 15000 } }),
  start(view) {
    view.table = new Table(view, {
      name: 'Round trips',
      one: 'node',
      columns,
      kind: 'of-trips',
      order: (a, b) => a.ms - b.ms,
      empty: () => html`<p>There is no other node with coordinates.</p>`,
    });
    const onResize = () => view.draw();
    addEventListener('resize', onResize, { passive: true });
    view.onStop(() => removeEventListener('resize', onResize));
  },
  render(view) {
    const { coordinates } = view.feeds;
    const body = coordinates.body ?? [];
    const nodes = view.memo('nodes', [coordinates.version], () =>
      byName([...new Set(body.map((each) => each.Node))].map((each) => ({ key: each, name: each }))),
    );
    const own = view.app.own?.NodeName;
    const width = Math.min(WIDTH_MAX, document.documentElement.clientWidth - 32); // one to one, so that names are legible
    const from = view.route.query.get('from') || (nodes.some((each) => each.name === own) ? own : nodes[0]?.name);
    if (coordinates.body)
      view.table.update(view.memo('rows', [coordinates.version, from], () => rows(view.route.dc, body, from)));
    return html`<h1>Map</h1>
      ${shown(view, coordinates, () =>
        body.length
          ? html`<label>From <select aria-label="From" ${chosen(from)} @change=${(event) => view.set({ from: event.target.value })}>${nodes.map((each) => html`<option .value=${each.name}>${visible(each.name)}</option>`)}</select></label>
              ${view.memo('picture', [coordinates.version, from, width], () => picture(body, from, width))}
              <h2>Round trips from ${name(from)}</h2>
              ${view.table.tools()} ${view.table.render()}`
          : note(view.app.hidden() ? 'No node that may be read has coordinates.' : 'No node has coordinates yet: agents send theirs some 15 s after they have joined.'),
      )}
      ${sameOnCommandLine([view.app.isOwn(view.route.dc) ? commandLine('consulpy rtt', [from ?? 'NODE', 'NODE']) : '', path(view.route.dc)])}`;
  },
};
