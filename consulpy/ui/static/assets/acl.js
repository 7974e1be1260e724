/** The three kinds of things that ACLs are made of, and what is edited of each. */

import { html } from './vendor/lit-html/lit-html.js';

/** `path`: the API's word; `fields`: what a form has, as `[name, label, type]`. */
export const KINDS = {
  tokens: {
    one: 'token',
    path: 'token',
    list: '/v1/acl/tokens',
    id: 'AccessorID',
    fields: [
      ['Description', 'Description', 'text'],
      ['Policies', 'Policies (names, separated by commas)', 'names'],
      ['Roles', 'Roles (names, separated by commas)', 'names'],
      ['Local', 'Only in this datacenter', 'yes'],
    ],
  },
  policies: {
    one: 'policy',
    path: 'policy',
    list: '/v1/acl/policies',
    id: 'ID',
    fields: [
      ['Name', 'Name', 'text'],
      ['Description', 'Description', 'text'],
      ['Rules', 'Rules', 'rules'],
    ],
  },
  roles: {
    one: 'role',
    path: 'role',
    list: '/v1/acl/roles',
    id: 'ID',
    fields: [
      ['Name', 'Name', 'text'],
      ['Description', 'Description', 'text'],
      ['Policies', 'Policies (names, separated by commas)', 'names'],
    ],
  },
};

/** The anonymous token and the policy that may do all cannot be deleted. */
export const isBuiltIn = (id) =>
  id === '00000000-0000-0000-0000-000000000002' || id === '00000000-0000-0000-0000-000000000001';

/** A form's fields out of what the API says. */
export const draftOf = (kind, found) =>
  Object.fromEntries(
    KINDS[kind].fields.map(([field, , type]) => [
      field,
      type === 'names'
        ? (found[field] ?? []).map((each) => each.Name).join(', ')
        : type === 'yes'
          ? Boolean(found[field])
          : (found[field] ?? ''),
    ]),
  );

/** The body of a request out of a form's fields; what the form does not have stays as it was. */
export function bodyOf(kind, draft, found = {}) {
  const body = { ...found };
  for (const [field, , type] of KINDS[kind].fields) {
    body[field] =
      type === 'names'
        ? draft[field]
            .split(',')
            .map((each) => each.trim())
            .filter(Boolean)
            .map((Name) => ({ Name }))
        : draft[field];
  }
  return body;
}

/** Why nothing of ACLs can be shown, as markup; '' if they are on. */
export function whyOff(app, error) {
  const isOff = app.own && app.self.body.DebugConfig?.ACLsEnabled === false;
  if (!isOff && !/ACL support disabled/i.test(error?.message ?? '')) return '';
  return html`ACLs are off in this datacenter. They are turned on by <code>acl { enabled = true }</code> in the configuration of every agent, then <code>consulpy acl bootstrap</code>.`;
}

/** A feed that is asked only once it is known that ACLs are not off. */
export function feedOf(view, name, path) {
  const { app } = view;
  if (view.feeds[name] || whyOff(app) || (!app.own && !app.self.error)) return view.feeds[name] ?? {};
  return view.add(name, { path, pollMs: 15000, optional: true });
}
