/** One token, policy or role, or a new one. */

import {
  action,
  command,
  copyable,
  facts,
  failure,
  html,
  link,
  loading,
  name,
  note,
  nothing,
  refused,
  sameOnCommandLine,
} from '../parts.js';
import { to } from '../routes.js';
import { segment, send, withQuery } from '../api.js';
import { CHANGED, isChanged } from '../forms.js';
import { KINDS, bodyOf, draftOf, feedOf, isBuiltIn, whyOff } from '../acl.js';
import { ask } from '../dialog.js';
import { shellWord, visible } from '../words.js';

const path = ({ kind, id, dc }) =>
  withQuery(`/v1/acl/${KINDS[kind].path}${id === null ? '' : `/${segment(id)}`}`, { dc });
const isDirty = (state) => isChanged(state.draft, state.opened);

async function store(view) {
  const { route, state } = view;
  let made = /** @type {any} */ (null);
  const done = await view.act(`The ${KINDS[route.kind].one} was saved`, async () => {
    const sent = { ...state.draft };
    made = await send(
      'PUT',
      path(route),
      bodyOf(route.kind, state.draft, route.id === null ? {} : view.feeds.item.body),
    );
    state.opened = sent;
  });
  if (done && route.id === null)
    view.app.navigate(to.acl(route.dc, route.kind, made[KINDS[route.kind].id]), { replace: true });
}

async function remove(view) {
  const { route } = view;
  const { one } = KINDS[route.kind];
  const body = html`<p>The ${one} <code>${visible(view.feeds.item.body.Name || route.id)}</code> is deleted; who uses it loses what it grants. This cannot be undone.</p>`;
  if (!(await ask({ title: `Delete the ${one}`, body, danger: 'Delete' }))) return;
  if (!(await view.act(`The ${one} was deleted`, () => send('DELETE', path(route))))) return;
  view.state.opened = { ...view.state.draft };
  view.app.navigate(to.acl(route.dc, route.kind));
}

function field(view, [key, label, type]) {
  const { draft } = view.state;
  const set = (event) => {
    draft[key] = type === 'yes' ? event.target.checked : event.target.value;
    view.draw();
  };
  if (type === 'yes')
    return html`<label><input type="checkbox" .checked=${draft[key]} ?disabled=${view.route.id !== null} @change=${set} /> ${label}</label>`;
  if (type === 'rules')
    return html`<label>${label} <textarea aria-label=${label} spellcheck="false" .value=${draft[key]} @input=${set}></textarea></label>`;
  return html`<label>${label} <input type="text" aria-label=${label} autocomplete="off" spellcheck="false" .value=${draft[key]} @input=${set} /></label>`;
}

function form(view) {
  const { route, feeds } = view;
  const found = feeds.item?.body;
  const submit = (event) => {
    event.preventDefault();
    store(view);
  };
  const isFixed = route.id !== null && isBuiltIn(route.id);
  return html`<form @submit=${submit}>
    ${KINDS[route.kind].fields.map((each) => field(view, each))}
    <p class="row-of-buttons">${action(view, 'Save', null, { submit: true })}
      ${route.id === null ? html`<a class="button" href=${link(to.acl(route.dc, route.kind))}>Cancel</a>` : isFixed ? nothing : action(view, 'Delete', () => remove(view), { danger: true })}</p>
    ${failure(view.failed)}
    ${found?.SecretID ? html`<details><summary>Secret</summary><p>${copyable(view, found.SecretID)}</p></details>` : nothing}
  </form>`;
}

export const page = {
  title: ({ kind, id }) => `${id === null ? 'New' : visible(id)} ${KINDS[kind].one} - ACL`,
  isUnsaved: (view) => isDirty(view.state),
  start(view) {
    if (view.route.id !== null) return;
    view.state.draft = draftOf(view.route.kind, {});
    view.state.opened = { ...view.state.draft };
  },
  changed(view) {
    const { body } = view.feeds.item;
    if (!body || isDirty(view.state)) return;
    view.state.draft = draftOf(view.route.kind, body);
    view.state.opened = { ...view.state.draft };
  },
  render(view) {
    const { route, state } = view;
    const { one, id } = KINDS[route.kind];
    const { body: found, error } = route.id === null ? {} : feedOf(view, 'item', path(route));
    const content = () => {
      if (whyOff(view.app, error)) return note(whyOff(view.app, error));
      const isMissing = error?.status === 404 || (error?.status === 403 && error.message.includes('not found'));
      const said = isMissing
        ? html`<p class="note">There is no ${one} ${name(route.id)}.</p>`
        : error?.status === 403
          ? refused(route.dc, error)
          : found && isDirty(state) && isChanged(draftOf(route.kind, found), state.opened)
            ? CHANGED
            : nothing;
      if (said !== nothing && !isDirty(state)) return said;
      return html`${said} ${state.draft ? form(view) : error?.status ? failure(error) : loading()}`;
    };
    return html`<h1>${route.id === null ? `New ${one}` : name(found?.Name || `${one[0].toUpperCase()}${one.slice(1)}`)}</h1>
      ${found ? facts([[id, html`<span class="mono">${name(found[id])}</span>`], found.ExpirationTime && ['Expires', found.ExpirationTime], found.AuthMethod && ['Auth method', found.AuthMethod]]) : nothing}
      ${content()}
      ${route.id === null ? nothing : sameOnCommandLine([command(view, `consulpy acl ${one} read -id=${shellWord(route.id)}`), path(route)])}`;
  },
};
