/** Questions before something is changed: modal, named, focus on the harmless button and back where it was. */

import { html, nothing, render } from './vendor/lit-html/lit-html.js';
import { visible } from './words.js';

/**
 * Ask. `danger`: the text of the button that does it; `typed`: a name that has to be typed before it can be pressed, as it is
 * or as it is shown: what cannot be seen can hardly be typed.
 * @returns {Promise<boolean>}
 */
export function ask({ title, body, danger, typed = '', cancel = 'Cancel' }) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('role', 'alertdialog');
  dialog.setAttribute('aria-labelledby', 'dialog-title');
  dialog.setAttribute('aria-describedby', 'dialog-body');
  const opener = /** @type {HTMLElement | null} */ (document.activeElement);
  return new Promise((resolve) => {
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      opener?.focus?.();
      resolve(answer);
    };
    let given = '';
    const type = (event) => {
      given = event.target.value;
      draw();
    };
    const draw = () =>
      render(
        html`<h2 id="dialog-title">${title}</h2>
          <div id="dialog-body">${body}</div>
          ${typed ? html`<label>Type <code>${visible(typed)}</code> to go on <input autocomplete="off" @input=${type} /></label>` : nothing}
          <p class="row-of-buttons">
            <button type="button" autofocus @click=${() => end(false)}>${cancel}</button>
            <button type="button" class="danger" ?disabled=${typed && ![typed, visible(typed)].includes(given)} @click=${() => end(true)}>${danger}</button>
          </p>`,
        dialog,
      );
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(false);
    });
    draw();
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Show something until it is closed. */
export function tell(title, body) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'dialog-title');
  const opener = /** @type {HTMLElement | null} */ (document.activeElement);
  const end = () => {
    dialog.remove();
    opener?.focus?.();
  };
  dialog.addEventListener('close', end);
  render(
    html`<h2 id="dialog-title">${title}</h2>
      ${body}
      <p class="row-of-buttons"><button type="button" autofocus @click=${() => dialog.close()}>Close</button></p>`,
    dialog,
  );
  document.body.append(dialog);
  dialog.showModal();
}
