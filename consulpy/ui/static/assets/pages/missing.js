/** An address that means nothing here. */

import { html, to as anchor } from '../parts.js';
import { to } from '../routes.js';

export const page = {
  title: () => 'No such page',
  render: ({ route }) => html`<h1>There is no such page</h1>
    <p>The address names no section of this page. ${route.dc ? anchor(to.section(route.dc, 'overview'), 'To the overview') : ''}</p>`,
};
