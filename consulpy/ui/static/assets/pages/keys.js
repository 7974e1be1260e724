/** The keys in one folder: folders first. */

import {
  action,
  command,
  failure,
  html,
  link,
  loading,
  name,
  nothing,
  refused,
  sameOnCommandLine,
  to as anchor,
} from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { ask } from '../dialog.js';
import { isReachable, keyPath, keysBelow, removeBelow } from '../kv.js';
import { count, visible } from '../words.js';

/** A folder with more keys than this is deleted only after its name was typed. */
const TYPED_ABOVE = 10;

const isPlain = (folder) => folder === '' || isReachable(folder);
const path = (route) => keyPath(route.folder, { keys: true, separator: '/', dc: route.dc });

function rows(route, keys) {
  const below = new Set();
  for (const key of keys) {
    const rest = key.slice(route.folder.length);
    const slash = rest.indexOf('/');
    below.add(slash < 0 ? rest : rest.slice(0, slash + 1));
  }
  return [...below].map((rest) => {
    const key = route.folder + rest;
    const isFolder = rest.endsWith('/');
    return {
      key,
      name: rest,
      isFolder,
      path: isFolder ? to.folder(route.dc, key) : to.key(route.dc, key),
      text: rest.toLowerCase(),
      state: '',
      mark: '',
    };
  });
}

const columns = [
  {
    id: 'kind',
    title: '',
    cell: (row) => html`<span class="muted" aria-hidden="true">${row.isFolder ? '▸' : '·'}</span>`,
  },
  {
    id: 'name',
    title: 'Name',
    cell: (row, tab) =>
      html`<a href=${link(row.path)} tabindex=${tab} class="mono">${row.name === '' ? html`<em>the folder itself</em>` : name(row.name)}</a>`,
  },
];

/** Links to the folders above. */
export function crumbs(dc, folder) {
  const parts = folder.split('/').slice(0, -1);
  return html`<nav class="crumbs" aria-label="Folders">${anchor(to.folder(dc, ''), 'Key/Value')}
    ${parts.map((part, at) => html` / ${anchor(to.folder(dc, `${parts.slice(0, at + 1).join('/')}/`), part === '' ? html`<em>empty name</em>` : name(part))}`)}</nav>`;
}

async function removeFolder(view) {
  const { dc, folder } = view.route;
  let keys = [];
  if (
    !(await view.act('', async () => {
      keys = await keysBelow(dc, folder);
    }))
  )
    return;
  const body = html`<p>All ${count(keys.length, 'key')} whose names begin with <code>${visible(folder)}</code> are deleted. This cannot be undone; <code>${command(view, 'consulpy kv export', folder)}</code> keeps them.</p>`;
  const title = `Delete ${visible(folder)}`;
  if (!(await ask({ title, body, danger: 'Delete', typed: keys.length > TYPED_ABOVE ? folder : '' }))) return;
  const done = await view.act(`${visible(folder)} was deleted`, () => removeBelow(dc, folder));
  if (done)
    view.app.navigate(
      to.folder(
        dc,
        `${folder
          .split('/')
          .slice(0, -2)
          .map((part) => `${part}/`)
          .join('')}`,
      ),
    );
}

export const page = {
  title: (route) => (route.folder ? `${visible(route.folder)} - Key/Value` : 'Key/Value'),
  feeds: (route) => (isPlain(route.folder) ? { keys: path(route) } : {}),
  start(view) {
    const { dc, folder } = view.route;
    view.table = new Table(view, {
      name: 'Keys',
      one: 'key',
      columns,
      kind: 'of-keys',
      order: (a, b) => Number(b.isFolder) - Number(a.isFolder),
      empty: () =>
        html`<p>There are no keys here.</p><pre tabindex="0">${command(view, 'consulpy kv put', `${folder}name`, 'value')}</pre>`,
    });
    if (!isPlain(folder)) {
      view.state.keys = null;
      keysBelow(dc, folder)
        .then(
          (keys) => {
            view.state.keys = keys;
          },
          (error) => {
            view.failed = error;
          },
        )
        .finally(() => view.draw());
    }
  },
  render(view) {
    const { route, feeds } = view;
    const error = feeds.keys?.error;
    const keys = feeds.keys ? (feeds.keys.body ?? (error?.status === 404 ? [] : undefined)) : view.state.keys;
    if (keys) view.table.update(view.memo('rows', [keys.length, feeds.keys?.version], () => rows(route, keys)));
    const tools = html`<a class="button" href=${link(to.createKey(route.dc, route.folder))}>Create</a>
      ${route.folder && route.folder !== '/' && keys?.length ? action(view, 'Delete folder', () => removeFolder(view), { danger: true }) : nothing}`;
    const content =
      error?.status === 403
        ? refused(route.dc, error)
        : keys
          ? view.table.render()
          : error && error.status !== 0
            ? failure(error)
            : loading();
    return html`${route.folder ? crumbs(route.dc, route.folder) : nothing}
      <h1>${route.folder ? name(/[^/]*\/$/.exec(route.folder)[0]) : 'Key/Value'} ${keys ? html`<span class="sum">${view.table.summary}</span>` : nothing}</h1>
      ${view.table.tools(tools)} ${failure(view.failed)} ${content}
      ${sameOnCommandLine([command(view, 'consulpy kv get -keys', route.folder), isPlain(route.folder) ? path(route) : ''])}`;
  },
};
