/** Network coordinates: round trips, and a picture of them. Pure. Source: Vivaldi as Serf uses it, docs/wire/gossip.md. */

/** The estimated round trip of two coordinates in seconds. */
export function roundTrip(a, b) {
  if (a.Vec.length !== b.Vec.length) return Number.NaN;
  const distance = Math.hypot(...a.Vec.map((each, at) => each - b.Vec[at])) + a.Height + b.Height;
  const adjusted = distance + a.Adjustment + b.Adjustment;
  return adjusted > 0 ? adjusted : distance;
}

const dot = (a, b) => a.reduce((sum, each, at) => sum + each * b[at], 0);

/** The direction in which the points differ most, by power iteration; null if they differ by nothing beside `largest`. */
function principal(points, largest, iterations = 60) {
  const size = points[0].length;
  let axis = Array.from({ length: size }, (_, at) => 1 + at / size);
  for (let turn = 0; turn < iterations; turn += 1) {
    const next = new Array(size).fill(0);
    for (const point of points) {
      const along = dot(point, axis);
      for (let at = 0; at < size; at += 1) next[at] += along * point[at];
    }
    const length = Math.sqrt(dot(next, next));
    if (length <= 1e-12 * largest * largest) return null;
    axis = next.map((each) => each / length);
  }
  return axis;
}

/**
 * The plane that shows most of the distances.
 * @param {number[][]} vectors
 * @returns {{points: number[][], share: number}} `share`: the part of all variance that the plane shows, 0 to 1
 */
export function plane(vectors) {
  if (!vectors.length) return { points: [], share: 1 };
  const size = vectors[0].length;
  const centre = Array.from(
    { length: size },
    (_, at) => vectors.reduce((sum, each) => sum + each[at], 0) / vectors.length,
  );
  const centred = vectors.map((each) => each.map((value, at) => value - centre[at]));
  const all = centred.reduce((sum, each) => sum + dot(each, each), 0);
  const largest = Math.sqrt(Math.max(...centred.map((each) => dot(each, each))));
  const first = principal(centred, largest);
  if (!first) return { points: centred.map(() => [0, 0]), share: 1 };
  const xs = centred.map((each) => dot(each, first));
  const rest = centred.map((each, at) => each.map((value, axis) => value - xs[at] * first[axis]));
  const second = principal(rest, largest);
  const ys = second ? rest.map((each) => dot(each, second)) : rest.map(() => 0);
  const seen = xs.reduce((sum, x) => sum + x * x, 0) + ys.reduce((sum, y) => sum + y * y, 0);
  return { points: xs.map((x, at) => [x, ys[at]]), share: all > 0 ? seen / all : 1 };
}

/** Nodes by the round trip from one of them, the nearest first: `[{name, ms}]`. `coordinates` of `/v1/coordinate/nodes`. */
export function nearest(coordinates, from) {
  const start = coordinates.find((each) => each.Node === from);
  if (!start) return [];
  return coordinates
    .filter((each) => each.Node !== from && (each.Segment ?? '') === (start.Segment ?? ''))
    .map((each) => ({ name: each.Node, ms: 1000 * roundTrip(start.Coord, each.Coord) }))
    .sort((a, b) => a.ms - b.ms);
}

/** A round trip in words. */
export const milliseconds = (ms) =>
  Number.isNaN(ms)
    ? 'unknown'
    : ms < 1
      ? `${ms.toFixed(2)} ms`
      : ms < 100
        ? `${ms.toFixed(1)} ms`
        : `${Math.round(ms)} ms`;
