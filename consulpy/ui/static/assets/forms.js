/** What forms share: whether something typed would be lost, and what is said of it. */

import { html } from './vendor/lit-html/lit-html.js';

/** Whether the fields of a form, `{name: value}`, differ from those that it was opened with; false while it is not open. */
export const isChanged = (draft, opened) => Boolean(draft && opened && JSON.stringify(draft) !== JSON.stringify(opened));

/** Another one has saved it since this form was opened. */
export const CHANGED = html`<p class="note" role="alert">It has been changed since it was opened: saving replaces that.</p>`;
