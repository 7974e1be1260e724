/** This agent: configuration in force, metrics, log. */

import { chosen, facts, html, name, nothing, note, refused, sameOnCommandLine, shown, tabs } from '../parts.js';
import { to } from '../routes.js';
import { follow as stream } from '../api.js';
import { Table } from '../table.js';
import { svg } from '../vendor/lit-html/lit-html.js';
import { count, visible, visibleLines } from '../words.js';

const HISTORY = 60;
const LOG_LINES = 2000;
/** The first pause before a log that has ended is asked for again; each is twice the one before, up to the second. */
const RETRY_MS = 3000;
const MAX_RETRY_MS = 30000;
const LEVELS = ['trace', 'debug', 'info', 'warn', 'err'];

/** Every value of a nested configuration with its path. */
function flatten(value, prefix = '') {
  if (value === null || typeof value !== 'object') return [[prefix, String(value)]];
  const entries = Object.entries(value);
  if (!entries.length) return [[prefix, Array.isArray(value) ? '[]' : '{}']];
  return entries.flatMap(([key, each]) => flatten(each, prefix ? `${prefix}.${key}` : key));
}

const settingColumns = [
  {
    id: 'name',
    title: 'Setting',
    cell: (row, tab) => html`<span class="mono" tabindex=${tab}>${name(row.name)}</span>`,
  },
  {
    id: 'value',
    title: 'Value',
    cell: (row) => html`<bdi class="mono" title=${visible(row.value)}>${visible(row.value)}</bdi>`,
  },
];
const metricColumns = [
  {
    id: 'name',
    title: 'Metric',
    cell: (row, tab) => html`<span class="mono" tabindex=${tab}>${name(row.name)}</span>`,
  },
  { id: 'value', title: 'Value', cell: (row) => row.value },
  { id: 'course', title: 'Last 5 min', cell: (row) => spark(row.course) },
];

function spark(values) {
  if (values.length < 2) return nothing;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values
    .map((value, at) => `${(at * 120) / (values.length - 1)},${22 - ((value - low) / (high - low || 1)) * 20}`)
    .join(' ');
  return html`<svg class="spark" viewBox="0 0 120 24" aria-hidden="true">${svg`<polyline points=${points} />`}</svg>`;
}

const settingRows = (self) =>
  flatten(self.DebugConfig ?? self.Config ?? {}).map(([key, value]) => ({
    key,
    name: key,
    value,
    text: `${key} ${value}`.toLowerCase(),
    state: '',
    mark: '',
  }));

const rounded = (number) => String(Number(number.toPrecision(6)));

function metricRows(view, body) {
  const history = (view.state.history ??= new Map());
  const labels = (each) =>
    Object.entries(each.Labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
  const all = [
    ...(body.Gauges ?? []).map((each) => [each, each.Value, rounded(each.Value)]),
    ...(body.Counters ?? []).map((each) => [each, each.Count, `${each.Count} in the interval`]),
    ...(body.Samples ?? []).map((each) => [
      each,
      each.Mean,
      `mean ${rounded(each.Mean)}, max ${rounded(each.Max)}, ${count(each.Count, 'sample')}`,
    ]),
  ];
  return all.map(([each, number, value]) => {
    const key = `${each.Name}${labels(each) && `{${labels(each)}}`}`;
    const course = [...(history.get(key) ?? []), number].slice(-HISTORY);
    history.set(key, course);
    return { key, name: key, value, course, text: key.toLowerCase(), state: '', mark: '' };
  });
}

/** Stop reading. */
function stopReading(state) {
  state.stream?.abort();
  state.stream = null;
  clearTimeout(state.retry);
}

/** Read the log as it is written, until the view or the pause ends it; again some time after the agent has ended it. */
async function follow(view) {
  const { state } = view;
  stopReading(state);
  state.isPaused = false;
  const abort = new AbortController();
  state.stream = abort;
  try {
    const reader = await stream(`/v1/agent/monitor?loglevel=${state.level}`, abort.signal);
    state.logError = null;
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      state.failures = 0;
      state.hasCome = true;
      const lines = (rest + value).split('\n');
      rest = lines.pop().slice(-65536);
      state.lines = [...state.lines, ...lines].slice(-LOG_LINES);
      view.draw();
    }
  } catch (error) {
    if (!abort.signal.aborted) state.logError = error;
  }
  if (state.stream === abort) {
    if (state.logError?.status === 403) state.stream = null;
    else state.retry = setTimeout(() => follow(view), Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** state.failures));
    state.failures += 1;
  }
  view.draw();
}

function log(view) {
  const { state } = view;
  if (state.logError?.status === 403) return refused(view.route.dc, state.logError);
  const filter = (state.logFilter ?? '').toLowerCase();
  const lines = filter ? state.lines.filter((line) => line.toLowerCase().includes(filter)) : state.lines;
  const choose = (event) => {
    state.level = event.target.value;
    follow(view);
  };
  const toggle = () => {
    state.isPaused = Boolean(state.stream);
    if (state.isPaused) stopReading(state);
    else follow(view);
    view.draw();
  };
  return html`<div class="tools">
      <input type="search" aria-label="Filter the log" placeholder="Filter the log" data-filter .value=${state.logFilter ?? ''} @input=${(
        event,
      ) => {
        state.logFilter = event.target.value;
        view.draw();
      }} />
      <select aria-label="Level" ${chosen(state.level)} @change=${choose}>${LEVELS.map((level) => html`<option .value=${level}>${level}</option>`)}</select>
      <button type="button" @click=${toggle}>${state.stream ? 'Pause' : 'Go on'}</button>
    </div>
    ${state.logError ? note(`The log has ended: ${visible(state.logError.message)}.${state.stream ? ' Trying again.' : ''}`) : nothing}
    ${state.logError && !state.hasCome && state.failures > 1 && !view.app.trouble() ? note('Agents of Consul 1.8 send their log in a form that browsers cannot decode: the command below shows it.') : nothing}
    <pre class="log" tabindex="0" role="group" aria-label="Log">${lines.length ? visibleLines(lines.slice(-500).join('\n')) : 'Nothing was logged since this page was opened.'}</pre>`;
}

function configuration(view) {
  return shown(view, view.feeds.self, (body) => {
    view.table.update(view.memo('rows', [view.feeds.self.version], () => settingRows(body)));
    const { Config: own = {}, Stats: stats = {} } = body;
    return html`${facts([['Name', own.NodeName ?? ''], ['Datacenter', own.Datacenter ?? ''], ['Role', own.Server ? 'server' : 'client'], ['Version', own.Version ?? ''], ['Node ID', html`<span class="mono">${visible(own.NodeID)}</span>`], stats.runtime?.os && ['System', stats.runtime.os]])}
      <h2>Configuration in force</h2>${view.table.tools()} ${view.table.render()}`;
  });
}

function metrics(view) {
  return shown(view, view.feeds.metrics, (body) => {
    view.table.update(view.memo('rows', [view.feeds.metrics.version], () => metricRows(view, body)));
    return html`<p class="muted">Of the interval that ended at ${visible(body.Timestamp)}.</p>${view.table.tools()} ${view.table.render()}`;
  });
}

export const page = {
  title: (route) => `${route.tab[0].toUpperCase()}${route.tab.slice(1)} - Agent`,
  feeds: (route) =>
    ({
      configuration: { self: { path: '/v1/agent/self', pollMs: 30000 } },
      metrics: { metrics: { path: '/v1/agent/metrics', pollMs: 5000 } },
      log: {},
    })[route.tab],
  start(view) {
    const columns = view.route.tab === 'metrics' ? metricColumns : settingColumns;
    view.table = new Table(view, {
      name: 'Settings',
      one: view.route.tab === 'metrics' ? 'metric' : 'setting',
      columns,
      kind: view.route.tab === 'metrics' ? 'of-metrics' : 'of-settings',
      empty: () => html`<p>Nothing yet.</p>`,
    });
    if (view.route.tab !== 'log') return;
    Object.assign(view.state, { lines: [], level: 'info', failures: 0 });
    view.onStop(() => stopReading(view.state));
    const onHide = () => (document.hidden ? stopReading(view.state) : view.state.isPaused || follow(view));
    document.addEventListener('visibilitychange', onHide);
    view.onStop(() => document.removeEventListener('visibilitychange', onHide));
    follow(view);
  },
  render(view) {
    const { route } = view;
    const tab = (id) => to.section(route.dc, id === 'configuration' ? 'agent' : `agent/${id}`);
    return html`<h1>Agent${view.app.own ? html` ${name(view.app.own.NodeName)}` : nothing}</h1>
      ${tabs(
        'Agent',
        [
          ['configuration', 'Configuration', tab('configuration')],
          ['metrics', 'Metrics', tab('metrics')],
          ['log', 'Log', tab('log')],
        ],
        route.tab,
      )}
      ${{ configuration, metrics, log }[route.tab](view)}
      ${sameOnCommandLine(['consulpy info', '/v1/agent/self'], ['consulpy monitor -log-level=debug', '/v1/agent/metrics'])}`;
  },
};
