/** One intention, or a new one. */

import { action, command, failure, html, link, loading, name, nothing, refused, sameOnCommandLine } from '../parts.js';
import { CHANGED, isChanged } from '../forms.js';
import { to } from '../routes.js';
import { segment, send, withQuery } from '../api.js';
import { ask } from '../dialog.js';
import { visible } from '../words.js';

const path = (route) => withQuery(`/v1/connect/intentions/${segment(route.id)}`, { dc: route.dc });
const FIELDS = [
  ['SourceName', 'Source'],
  ['DestinationName', 'Destination'],
  ['Description', 'Description'],
];

const draftOf = (found) => ({
  SourceName: found.SourceName,
  DestinationName: found.DestinationName,
  Action: found.Action,
  Description: found.Description ?? '',
});
const isDirty = (state) => isChanged(state.draft, state.opened);

async function store(view) {
  const { route, state } = view;
  const done = await view.act('The intention was saved', async () => {
    const body = { ...(route.id === null ? {} : view.feeds.intention.body), ...state.draft, SourceType: 'consul' };
    if (!body.SourceName || !body.DestinationName) throw new Error('source and destination need a service or *');
    if (route.id === null) await send('POST', withQuery('/v1/connect/intentions', { dc: route.dc }), body);
    else await send('PUT', path(route), body);
    state.opened = { ...state.draft };
  });
  if (done) view.app.navigate(to.section(route.dc, 'intentions'));
}

async function remove(view) {
  const { opened } = view.state;
  const body = html`<p>The intention <strong>${name(opened.SourceName)} to ${name(opened.DestinationName)}</strong> (${opened.Action}) is deleted. To undo it, create it again.</p>`;
  if (!(await ask({ title: 'Delete the intention', body, danger: 'Delete' }))) return;
  if (!(await view.act('The intention was deleted', () => send('DELETE', path(view.route))))) return;
  view.state.opened = { ...view.state.draft };
  view.app.navigate(to.section(view.route.dc, 'intentions'));
}

function form(view) {
  const { state, route } = view;
  const set = (field) => (event) => {
    state.draft[field] = event.target.value;
    view.draw();
  };
  const submit = (event) => {
    event.preventDefault();
    store(view);
  };
  const choice = (value, means) =>
    html`<label><input type="radio" name="action" .checked=${state.draft.Action === value} @change=${() => {
      state.draft.Action = value;
      view.draw();
    }} /> ${means}</label>`;
  return html`<form @submit=${submit}>
    ${FIELDS.map(
      ([
        field,
        label,
      ]) => html`<label>${label}${field === 'Description' ? nothing : html` <span class="muted">a service, or * for every service</span>`}
      <input type="text" aria-label=${label} autocomplete="off" spellcheck="false" .value=${state.draft[field]} @input=${set(field)} /></label>`,
    )}
    <fieldset><legend>Action</legend>${choice('allow', 'Allow: the source may connect')} ${choice('deny', 'Deny: it may not')}</fieldset>
    <p class="row-of-buttons">${action(view, 'Save', null, { submit: true })}
      ${route.id === null ? html`<a class="button" href=${link(to.section(route.dc, 'intentions'))}>Cancel</a>` : action(view, 'Delete', () => remove(view), { danger: true })}</p>
    ${failure(view.failed)}
  </form>`;
}

export const page = {
  title: (route) => `${route.id === null ? 'New intention' : 'Intention'} - Intentions`,
  feeds: (route) => (route.id === null ? {} : { intention: path(route) }),
  isUnsaved: (view) => isDirty(view.state),
  start(view) {
    if (view.route.id !== null) return;
    const { query } = view.route;
    view.state.draft = {
      SourceName: query.get('source') ?? '',
      DestinationName: query.get('destination') ?? '',
      Action: 'allow',
      Description: '',
    };
    view.state.opened = { ...view.state.draft };
  },
  changed(view) {
    const { body } = view.feeds.intention;
    if (!body || isDirty(view.state)) return;
    view.state.draft = draftOf(body);
    view.state.opened = draftOf(body);
  },
  render(view) {
    const { route, state, feeds } = view;
    const error = feeds.intention?.error;
    const title =
      route.id === null
        ? 'New intention'
        : state.opened
          ? html`${name(state.opened.SourceName)} to ${name(state.opened.DestinationName)}`
          : 'Intention';
    const found = feeds.intention?.body;
    const content = () => {
      const said =
        error?.status === 403
          ? refused(route.dc, error)
          : error?.status === 404
            ? html`<p class="note">There is no intention ${name(route.id)}.</p>`
            : found && isDirty(state) && isChanged(draftOf(found), state.opened)
              ? CHANGED
              : nothing;
      if (said !== nothing && !isDirty(state)) return said;
      return html`${said} ${state.draft ? form(view) : error?.status ? failure(error) : loading()}`;
    };
    return html`<h1>${title}</h1>${content()}
      ${sameOnCommandLine([state.opened?.SourceName ? command(view, 'consulpy intention get', state.opened.SourceName, state.opened.DestinationName) : '', route.id === null ? '' : path(route)])}`;
  },
};
