/** One key: its value as text, JSON or hexadecimal. What is saved is checked against the index that was opened. */

import {
  action,
  command,
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
  to as anchor,
} from '../parts.js';
import { to } from '../routes.js';
import { ask } from '../dialog.js';
import { entryOf, isReachable, keyPath, read, remove, save } from '../kv.js';
import { VALUE_MAX, asHex, asText, fromHex, fromText, isEqual, jsonError, prettyJson } from '../bytes.js';
import { get, withQuery } from '../api.js';
import { bytes as size, hiddenIn, visible, visibleLines } from '../words.js';
import { crumbs } from './keys.js';

const folderOf = (key) => key.slice(0, key.lastIndexOf('/') + 1);

/** Put what is in the store into the field. */
function open(view, found) {
  const text = asText(found.bytes);
  Object.assign(view.state, {
    opened: found,
    theirs: undefined,
    flags: found.flags,
    lineEnd: text?.lineEnd ?? '\n',
    mode: text ? 'text' : 'hex',
    draft: text ? text.text : asHex(found.bytes),
  });
  if (found.session) lockedBy(view, found.session);
}

async function lockedBy(view, id) {
  try {
    const { body } = await get(withQuery(`/v1/session/info/${encodeURIComponent(id)}`, { dc: view.route.dc }));
    view.state.lock = body?.[0];
    view.draw();
  } catch {
    // the id alone is shown
  }
}

/** The bytes in the field. Throws an Error if they are not well typed. */
function typed({ mode, draft, lineEnd }) {
  return mode === 'hex' ? fromHex(draft) : fromText(draft, lineEnd);
}

function isDirty(state) {
  if (!state.opened) return Boolean(state.draft || state.newKey);
  try {
    return state.flags !== state.opened.flags || !isEqual(typed(state), state.opened.bytes);
  } catch {
    return true;
  }
}

function arrived(view) {
  const feed = view.feeds.key;
  const { state } = view;
  if (feed.error?.status === 404) {
    if (state.opened) state.theirs = null;
    else state.isMissing = true;
    return;
  }
  if (!feed.body) return;
  const found = entryOf(feed);
  if (!state.opened) open(view, found);
  else if (found.modifyIndex !== state.opened.modifyIndex) {
    if (isDirty(state)) state.theirs = found;
    else {
      open(view, found);
      view.say('The key was changed: this is its new value');
    }
  }
}

function setMode(view, mode) {
  const { state } = view;
  try {
    const now = typed(state);
    if (mode === 'hex') state.draft = asHex(now);
    else if (state.mode === 'hex') {
      const text = asText(now);
      if (!text) throw new Error('these bytes are not text: they can be changed as hexadecimal only');
      Object.assign(state, { draft: text.text, lineEnd: text.lineEnd });
    }
    state.mode = mode;
    view.failed = null;
  } catch (error) {
    view.failed = error;
  }
  view.draw();
}

async function store(view, index) {
  const { route, state } = view;
  const key = route.key ?? route.folder + (state.newKey ?? '');
  const done = await view.act('', async () => {
    if (key === '' || (route.key === null && !state.newKey)) throw new Error('the key has no name');
    const bytes = typed(state);
    if (!/^\d+$/.test(state.flags ?? '0')) throw new Error('flags are a number');
    if (await save(route.dc, key, bytes, state.flags ?? '0', index)) {
      const now = await read(route.dc, key);
      if (now && route.key !== null) open(view, now);
      view.say(`${visible(key)} was saved`);
      state.isSaved = true;
      return;
    }
    state.theirs = await read(route.dc, key);
    if (route.key === null) throw new Error(`${visible(key)} exists already: nothing was overwritten`);
  });
  if (done && state.isSaved && route.key === null) view.app.navigate(to.key(route.dc, key), { replace: true });
}

async function erase(view) {
  const { route, state } = view;
  const body = html`<p>The key <code>${visible(route.key)}</code> with its ${size(state.opened.bytes.length)} is deleted. This cannot be undone.</p>`;
  if (!(await ask({ title: `Delete ${visible(route.key)}`, body, danger: 'Delete' }))) return;
  let isDone = false;
  await view.act('', async () => {
    isDone = await remove(route.dc, route.key, state.opened.modifyIndex);
    if (!isDone) state.theirs = await read(route.dc, route.key);
  });
  if (isDone) {
    view.app.navigate(to.folder(route.dc, folderOf(route.key)));
    view.app.say(`${visible(route.key)} was deleted`);
  }
}

function conflict(view) {
  const { state, route } = view;
  if (state.theirs === undefined || route.key === null) return nothing;
  const { theirs } = state;
  const text = theirs && (asText(theirs.bytes)?.text ?? asHex(theirs.bytes));
  const take = () => {
    if (theirs) open(view, theirs);
    view.draw();
  };
  return html`<div class="refusal" role="alert">
    <h2>${theirs ? 'The key has changed since it was opened' : 'The key was deleted since it was opened'}</h2>
    ${theirs?.session ? html`<p>It is locked by session <span class="mono">${name(theirs.session)}</span>.</p>` : nothing}
    <p>Nothing of yours is lost: it is in the field below${theirs ? ', and beside theirs here' : ''}.</p>
    ${
      theirs
        ? html`<div class="pair"><div><h3>Mine</h3><pre tabindex="0" role="group" aria-label="Mine">${visibleLines(state.draft)}</pre></div><div><h3>Theirs</h3><pre tabindex="0" role="group" aria-label="Theirs">${visibleLines(text)}</pre></div></div>`
        : nothing
    }
    <p class="row-of-buttons">
      ${action(view, 'Save mine anyway', () => store(view, theirs ? theirs.modifyIndex : 0), { danger: true })}
      ${theirs ? html`<button type="button" @click=${take}>Take theirs</button>` : nothing}
    </p>
  </div>`;
}

function editor(view) {
  const { state, route } = view;
  const isNew = route.key === null;
  let now = null;
  let wrong = '';
  try {
    now = typed(state);
  } catch (error) {
    wrong = error.message;
  }
  const json = state.mode === 'json' ? jsonError(state.draft) : '';
  const isLarge = now && now.length > VALUE_MAX;
  const hidden = state.mode === 'hex' ? [] : hiddenIn(state.draft);
  const submit = (event) => {
    event.preventDefault();
    store(view, isNew ? 0 : state.opened.modifyIndex);
  };
  const type = (event) => {
    state.draft = event.target.value;
    view.draw();
  };
  const pretty = () => {
    try {
      state.draft = prettyJson(state.draft);
      view.failed = null;
    } catch (error) {
      view.failed = error;
    }
    view.draw();
  };
  const mode = (id, label) =>
    html`<button type="button" aria-pressed=${state.mode === id} @click=${() => setMode(view, id)}>${label}</button>`;
  return html`<form @submit=${submit}>
    ${
      isNew
        ? html`<label>Key${route.folder ? html` below <code>${visible(route.folder)}</code>` : nothing} <input name="key" autocomplete="off" spellcheck="false" .value=${state.newKey ?? ''} @input=${(
            event,
          ) => {
            state.newKey = event.target.value;
            view.draw();
          }} aria-label="Key" /></label>`
        : nothing
    }
    <div class="row-of-buttons" role="group" aria-label="Shown as">${mode('text', 'Text')} ${mode('json', 'JSON')} ${mode('hex', 'Hexadecimal')}
      ${state.mode === 'json' ? html`<button type="button" ?disabled=${Boolean(json)} @click=${pretty}>Pretty-print</button>` : nothing}</div>
    <label>Value <textarea aria-label="Value" spellcheck="false" .value=${state.draft} @input=${type} aria-invalid=${Boolean(wrong || json || isLarge)}></textarea></label>
    <p class="muted">${now ? size(now.length) : '?'} of at most ${size(VALUE_MAX)}${state.lineEnd === '\r\n' && state.mode !== 'hex' ? ', lines end with CR LF' : ''}${isDirty(state) ? ', not saved' : ''}</p>
    ${wrong ? html`<p class="failure">${wrong}</p>` : nothing} ${json ? html`<p class="failure">not JSON: ${name(json)}</p>` : nothing}
    ${isLarge ? html`<p class="failure">larger than a server takes</p>` : nothing}
    ${hidden.length ? note(html`It has characters that cannot be seen: <code>${hidden.slice(0, 20).join(' ')}</code>`) : nothing}
    <label>Flags <input inputmode="numeric" .value=${state.flags} @input=${(event) => {
      state.flags = event.target.value;
      view.draw();
    }} /></label>
    ${state.opened?.session ? note(html`Locked by session ${anchor(`${to.section(route.dc, 'sessions')}?filter=${encodeURIComponent(state.opened.session)}`, html`<span class="mono">${name(state.opened.session)}</span>`)}${state.lock ? html` of node ${name(state.lock.Node)}` : nothing}: its holder does not expect others to write.`) : nothing}
    <p class="row-of-buttons">${action(view, 'Save', null, { submit: true })}
      ${isNew ? html`<a class="button" href=${link(to.folder(route.dc, route.folder))}>Cancel</a>` : action(view, 'Delete', () => erase(view), { danger: true })}</p>
    ${failure(view.failed)}
  </form>`;
}

function content(view) {
  const { state, route } = view;
  const error = view.feeds.key?.error;
  if (state.isMissing && !state.opened) {
    const isDamaged = route.key.includes('\ufffd');
    return html`<p class="note">No key of this name is there${isDamaged ? ': perhaps its name is not UTF-8, which the JSON of the API cannot say' : ''}.</p>
      <p>${anchor(to.folder(route.dc, folderOf(route.key)), 'To the folder')}</p>`;
  }
  if (!state.opened && route.key !== null)
    return error?.status === 403
      ? refused(route.dc, error)
      : view.failed
        ? failure(view.failed)
        : error?.status
          ? failure(error)
          : loading();
  return html`${conflict(view)} ${editor(view)}
    ${
      state.opened
        ? facts([
            ['CreateIndex', String(state.opened.createIndex)],
            ['ModifyIndex', String(state.opened.modifyIndex)],
            ['LockIndex', String(state.opened.lockIndex)],
          ])
        : nothing
    }`;
}

export const page = {
  title: (route) => `${route.key === null ? 'New key' : visible(route.key)} - Key/Value`,
  feeds: (route) => (route.key !== null && isReachable(route.key) ? { key: keyPath(route.key, { dc: route.dc }) } : {}),
  changed: arrived,
  /** Whether something typed would be lost. */
  isUnsaved: ({ state }) => !state.isSaved && isDirty(state),
  start(view) {
    const { key, dc } = view.route;
    Object.assign(view.state, { mode: 'text', draft: '', flags: '0', lineEnd: '\n' });
    if (key === null || isReachable(key)) return;
    read(dc, key)
      .then(
        (found) => (found ? open(view, found) : (view.state.isMissing = true)),
        (error) => {
          view.failed = error;
        },
      )
      .finally(() => view.draw());
  },
  render(view) {
    const { route } = view;
    const folder = route.key === null ? route.folder : folderOf(route.key);
    return html`${crumbs(route.dc, folder)}
      <h1>${route.key === null ? 'New key' : name(route.key.slice(folder.length))}</h1>
      ${content(view)}
      ${route.key === null ? nothing : sameOnCommandLine([command(view, 'consulpy kv get -detailed', route.key), isReachable(route.key) ? keyPath(route.key, { dc: route.dc }) : ''])}`;
  },
};
