/** Settings of this browser: the token, theme, keys, live updates. */

import { chosen, html, name, nothing, sameOnCommandLine } from '../parts.js';
import { currentToken, useToken } from '../api.js';

function logIn(view, event) {
  event.preventDefault();
  const form = event.target;
  useToken(form.elements.token.value.trim(), form.elements.keep.checked);
  form.reset();
  view.app.reload();
  view.app.say('The token is used from now on');
}

function forget(view) {
  useToken('', false);
  view.app.reload();
  view.app.say('The token was forgotten');
}

/** Who the token is: the accessor, never the secret. */
function whoAmI(view) {
  const { body, error } = view.feeds.me ?? {};
  if (body)
    return html`<p>In use: <strong>${name(body.Description || 'a token')}</strong>, AccessorID <span class="mono">${body.AccessorID}</span>${(body.Policies ?? []).length ? `, policies ${body.Policies.map((each) => each.Name).join(', ')}` : ''}.</p>`;
  if (/ACL support disabled/i.test(error?.message ?? ''))
    return html`<p class="note">ACLs are off: every request is allowed, a token changes nothing.</p>`;
  if (error?.status === 403)
    return html`<p class="failure" role="alert"><span aria-hidden="true">✕</span> The agent does not know this token.</p>`;
  return currentToken()
    ? html`<p class="muted">A token is in use.</p>`
    : html`<p class="muted">No token is in use: requests are anonymous.</p>`;
}

const option = (view, name, label, explanation) =>
  html`<label><input type="checkbox" .checked=${view.app.settings[name]} @change=${(event) => view.app.change({ [name]: event.target.checked })} /> ${label} <span class="muted">${explanation}</span></label>`;

export const page = {
  title: () => 'Settings',
  feeds: () => (currentToken() ? { me: { path: '/v1/acl/token/self', once: true, optional: true } } : {}),
  render(view) {
    const { theme } = view.app.settings;
    return html`<h1>Settings</h1>
      <h2>ACL token</h2>
      ${whoAmI(view)}
      <form @submit=${(event) => logIn(view, event)}>
        <label>Token <input type="password" name="token" aria-label="Token" autocomplete="off" required /></label>
        <label><input type="checkbox" name="keep" /> Keep in this tab <span class="muted">until it is closed, also after a reload; else only until a reload</span></label>
        <p class="row-of-buttons"><button type="submit">Log in</button>
          ${currentToken() ? html`<button type="button" @click=${() => forget(view)}>Forget</button>` : nothing}</p>
      </form>
      <h2>This browser</h2>
      <label>Theme <select aria-label="Theme" ${chosen(theme)} @change=${(event) => view.app.change({ theme: event.target.value })}>
        ${[
          ['', 'As the system'],
          ['light', 'Light'],
          ['dark', 'Dark'],
        ].map(([value, text]) => html`<option .value=${value}>${text}</option>`)}
      </select></label>
      ${option(view, 'isCompact', 'Compact rows', '28 pixels in place of 36')}
      ${option(view, 'isLive', 'Live updates', 'without them each page asks once')}
      ${option(view, 'hasKeys', 'Keys of one letter', 'as / for the filter and g n for the nodes; ? shows all')}
      <p class="muted">Times are of this browser's zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.</p>
      ${sameOnCommandLine(['export CONSUL_HTTP_TOKEN=SECRET'], ['consulpy acl token read -self', '/v1/acl/token/self'])}`;
  },
};
