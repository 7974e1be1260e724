/** Tokens, policies and roles. A secret is in no list. */

import { command, html, link, name, note, nothing, sameOnCommandLine, shown, tabs } from '../parts.js';
import { to } from '../routes.js';
import { Table } from '../table.js';
import { withQuery } from '../api.js';
import { KINDS, feedOf, whyOff } from '../acl.js';
import { visible } from '../words.js';

const path = (route) => withQuery(KINDS[route.kind].list, { dc: route.dc });

const columns = [
  {
    id: 'name',
    title: 'Name',
    cell: (row, tab) =>
      html`<a href=${link(row.path)} tabindex=${tab} class=${row.isId ? 'mono' : ''}>${name(row.name)}</a>`,
  },
  {
    id: 'description',
    title: 'Description',
    cell: (row) => html`<bdi class="muted">${visible(row.description)}</bdi>`,
  },
  { id: 'grants', title: 'Policies and roles', cell: (row) => name(row.grants) },
];

function rows(route, items) {
  const { id } = KINDS[route.kind];
  return items.map((each) => {
    const grants = [...(each.Policies ?? []), ...(each.Roles ?? [])].map((one) => one.Name).join(', ');
    return {
      key: each[id],
      name: each.Name || each[id],
      isId: !each.Name,
      description: each.Description ?? '',
      grants,
      path: to.acl(route.dc, route.kind, each[id]),
      state: '',
      mark: '',
      text: `${each.Name ?? ''} ${each[id]} ${each.Description ?? ''} ${grants}`.toLowerCase(),
    };
  });
}

export const page = {
  title: (route) => `${route.kind[0].toUpperCase()}${route.kind.slice(1)} - ACL`,
  start(view) {
    const { one } = KINDS[view.route.kind];
    view.table = new Table(view, {
      name: 'ACL',
      one,
      many: view.route.kind,
      columns: view.route.kind === 'policies' ? columns.filter((each) => each.id !== 'grants') : columns,
      kind: 'of-acl',
      empty: () => html`<p>There are no ${view.route.kind}.</p><pre tabindex="0">consulpy acl ${one} create</pre>`,
    });
  },
  render(view) {
    const { route } = view;
    const items = feedOf(view, 'items', path(route));
    const off = whyOff(view.app, items.error);
    if (items.body) view.table.update(view.memo('rows', [items.version], () => rows(route, items.body)));
    return html`<h1>ACL</h1>
      ${
        off
          ? note(off)
          : html`${tabs(
              'ACL',
              Object.keys(KINDS).map((kind) => [kind, kind[0].toUpperCase() + kind.slice(1), to.acl(route.dc, kind)]),
              route.kind,
            )}
            ${view.table.tools(html`<a class="button" href=${link(to.acl(route.dc, route.kind, 'create'))}>Create</a>`)}
            ${shown(view, items, () => view.table.render())}`
      }
      ${sameOnCommandLine([command(view, `consulpy acl ${KINDS[route.kind].one} list`), path(route)])}`;
  },
};
