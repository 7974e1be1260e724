/** Addresses of the page. Pure: what an address means, and the address of a thing, both without the content path. */

const SERVICE_TABS = ['instances', 'tags', 'intentions'];
const INSTANCE_TABS = ['health-checks', 'metadata', 'addresses'];
const NODE_TABS = ['timeline', 'health-checks', 'service-instances', 'round-trip-time', 'lock-sessions', 'metadata'];
const AGENT_TABS = ['configuration', 'metrics', 'log'];
const ACL_KINDS = ['tokens', 'policies', 'roles'];
/** Pages that are one list or one picture. */
const PLAIN = ['overview', 'servers', 'map', 'events', 'sessions', 'queries'];

export const TABS = {
  service: SERVICE_TABS,
  instance: INSTANCE_TABS,
  node: NODE_TABS,
  agent: AGENT_TABS,
  acls: ACL_KINDS,
};

/** A segment of an address. Browsers fold `.` and `..` away, also as `%2e`: such a name gets a NUL at its end. */
const encode = (name) => encodeURIComponent(name) + (/^\.\.?\0*$/.test(name) ? '%00' : '');

function decode(segment) {
  try {
    return decodeURIComponent(segment).replace(/^(\.\.?\0*)\0$/, '$1');
  } catch {
    return segment;
  }
}

/** Whether an address can hold this key as its path: browsers and servers fold `.`, `..` and empty segments away. */
export const isPlainKey = (key) =>
  !key
    .replace(/\/$/, '')
    .split('/')
    .some((segment) => segment === '' || segment === '.' || segment === '..');

const path = (key) => key.split('/').map(encode).join('/');

/** Addresses of things; each starts with the datacenter. */
export const to = {
  section: (dc, section) => `${encode(dc)}/${section}`,
  service: (dc, name, tab = 'instances') => `${encode(dc)}/services/${encode(name)}/${tab}`,
  instance: (dc, name, node, id, tab = '') =>
    `${encode(dc)}/services/${encode(name)}/instances/${encode(node)}/${encode(id)}${tab && `/${tab}`}`,
  node: (dc, name, tab = '') => `${encode(dc)}/nodes/${encode(name)}${tab && `/${tab}`}`,
  folder: (dc, folder) =>
    folder === ''
      ? `${encode(dc)}/kv`
      : isPlainKey(folder)
        ? `${encode(dc)}/kv/${path(folder)}`
        : `${encode(dc)}/kv?folder=${encodeURIComponent(folder)}`,
  key: (dc, key) =>
    isPlainKey(key) ? `${encode(dc)}/kv/${path(key)}/edit` : `${encode(dc)}/kv/edit?key=${encodeURIComponent(key)}`,
  createKey: (dc, folder) =>
    isPlainKey(folder)
      ? `${encode(dc)}/kv/${path(folder)}create`
      : `${encode(dc)}/kv/create${folder && `?folder=${encodeURIComponent(folder)}`}`,
  intention: (dc, id) => `${encode(dc)}/intentions/${encode(id)}`,
  acl: (dc, kind, id = '') => `${encode(dc)}/acls/${kind}${id && `/${encode(id)}`}`,
};

/** The keys' part of an address: a list, an editor or a new key. */
function keys(rest, query) {
  const last = rest[rest.length - 1];
  if (query.has('key')) return { page: 'key', key: query.get('key') };
  if (last === 'create') {
    const folder = rest.slice(0, -1).filter(Boolean).join('/');
    return { page: 'key', key: null, folder: query.get('folder') ?? (folder && `${folder}/`) };
  }
  if (last === 'edit' && rest.length > 1) return { page: 'key', key: rest.slice(0, -1).join('/') };
  const folder = rest.join('/');
  return { page: 'keys', folder: query.get('folder') ?? (folder && !folder.endsWith('/') ? `${folder}/` : folder) };
}

function services(rest) {
  if (rest.length < 1 || !rest[0]) return { page: 'services' };
  const [name, tab = 'instances', node, id, inner = 'health-checks'] = rest;
  if (rest.length === 3 && !SERVICE_TABS.includes(tab))
    return { page: 'instance', name, node: rest[1], id: rest[2], tab: 'health-checks' };
  if (tab === 'instances' && id !== undefined)
    return { page: 'instance', name, node, id, tab: INSTANCE_TABS.includes(inner) ? inner : 'health-checks' };
  return { page: 'service', name, tab: SERVICE_TABS.includes(tab) ? tab : 'instances' };
}

/**
 * What an address means.
 * @param {string} pathname the address's path without the content path, percent-encoded
 * @param {URLSearchParams} query
 * @returns {{page: string, dc: string, section: string, query: URLSearchParams, [more: string]: any}} page '' means: go to the overview
 */
export function parse(pathname, query = new URLSearchParams()) {
  const [dc = '', section = '', ...rest] = pathname.split('/').map(decode);
  const found = { dc, section, query };
  const trimmed = rest.length > 1 && rest[rest.length - 1] === '' ? rest.slice(0, -1) : rest;
  if (dc === 'setting' || section === 'setting' || dc === 'settings')
    return { ...found, dc: section ? dc : '', section: 'setting', page: 'setting' };
  if (!dc || !section) return { ...found, page: '' };
  if (section === 'services') return { ...found, ...services(trimmed) };
  if (section === 'nodes') {
    const [name, tab = ''] = trimmed;
    return name
      ? { ...found, page: 'node', name, tab: NODE_TABS.includes(tab) ? tab : '' }
      : { ...found, page: 'nodes' };
  }
  if (section === 'kv') return { ...found, ...keys(rest.length ? rest : [''], query) };
  if (section === 'intentions')
    return trimmed[0]
      ? { ...found, page: 'intention', id: trimmed[0] === 'create' ? null : trimmed[0] }
      : { ...found, page: 'intentions' };
  if (section === 'acls') {
    const kind = ACL_KINDS.includes(trimmed[0]) ? trimmed[0] : 'tokens';
    return trimmed[1]
      ? { ...found, page: 'acl', kind, id: trimmed[1] === 'create' ? null : trimmed[1] }
      : { ...found, page: 'acls', kind };
  }
  if (section === 'agent')
    return { ...found, page: 'agent', tab: AGENT_TABS.includes(trimmed[0]) ? trimmed[0] : 'configuration' };
  return { ...found, page: PLAIN.includes(section) ? section : 'missing' };
}

/** The address of the same section in another datacenter. */
export const elsewhere = (route, dc) =>
  to.section(dc, route.section === 'setting' || !route.section ? 'overview' : route.section);
