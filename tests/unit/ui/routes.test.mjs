/** Addresses of the page: Consul's own, ours, and names that an address can hardly hold. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { elsewhere, isPlainKey, parse, to } from '../../../consulpy/ui/static/assets/routes.js';

/** An address as a browser has it after the content path. */
const opened = (address) => {
  const url = new URL(`http://agent/ui/${address}`);
  return parse(url.pathname.slice('/ui/'.length), url.searchParams);
};
const has = (address, wanted) => {
  const found = opened(address);
  for (const [name, value] of Object.entries(wanted)) assert.equal(found[name], value, `${address}: ${name}`);
};

test("Consul's addresses mean what they mean there", () => {
  has('dc1/services', { page: 'services', dc: 'dc1' });
  has('dc1/services/web', { page: 'service', name: 'web', tab: 'instances' });
  has('dc1/services/web/tags', { page: 'service', tab: 'tags' });
  has('dc1/services/web/instances/n1/web-1', { page: 'instance', node: 'n1', id: 'web-1', tab: 'health-checks' });
  has('dc1/services/web/instances/n1/web-1/metadata', { page: 'instance', tab: 'metadata' });
  has('dc1/services/web/n1/web-1', { page: 'instance', node: 'n1', id: 'web-1' });
  has('dc1/nodes', { page: 'nodes' });
  has('dc1/nodes/n1/round-trip-time', { page: 'node', name: 'n1', tab: 'round-trip-time' });
  has('dc1/kv', { page: 'keys', folder: '' });
  has('dc1/kv/a/b/', { page: 'keys', folder: 'a/b/' });
  has('dc1/kv/a/b/edit', { page: 'key', key: 'a/b' });
  has('dc1/kv/create', { page: 'key', key: null, folder: '' });
  has('dc1/kv/a/create', { page: 'key', key: null, folder: 'a/' });
  has('dc1/kv/a//create', { page: 'key', key: null, folder: 'a/' });
  has('dc1/intentions/create', { page: 'intention', id: null });
  has('dc1/acls/policies/create', { page: 'acl', kind: 'policies', id: null });
  has('setting', { page: 'setting' });
  has('', { page: '' });
  has('dc1', { page: '' });
  has('dc1/nonsense', { page: 'missing' });
});

test('every thing has an address that leads back to it', () => {
  const names = [
    'web',
    'a/b',
    'a b',
    'ä',
    '100%',
    'a?b#c',
    '<script>',
    'edit',
    'create',
    'instances',
    '%2F',
    'a;b',
    'a\\b',
    '日本',
  ];
  for (const name of names) {
    has(to.service('dc1', name), { page: 'service', name });
    has(to.node('dc 1', name, 'timeline'), { page: 'node', name, dc: 'dc 1', tab: 'timeline' });
    has(to.instance('dc1', 'web', name, name), { page: 'instance', node: name, id: name });
  }
});

test('a key with any name has an address that leads back to it', () => {
  const keys = [
    'a',
    'a/b',
    'a//b',
    '/a',
    'a/../b',
    './a',
    'a/.',
    'a b?c#d',
    'edit',
    'create',
    'a/edit',
    'a/create',
    '%2e%2e/x',
    '..',
    '\u0000',
    'ключ',
  ];
  for (const key of keys) {
    has(to.key('dc1', key), { page: 'key', key });
    has(to.folder('dc1', `${key}/`), { page: 'keys', folder: `${key}/` });
    has(to.createKey('dc1', `${key}/`), { page: 'key', key: null, folder: `${key}/` });
  }
  assert.equal(isPlainKey('a/b'), true);
  assert.equal(isPlainKey('a/../b'), false);
});

test('another datacenter has the same section', () => {
  assert.equal(elsewhere(opened('dc1/nodes/n1'), 'dc2'), 'dc2/nodes');
  assert.equal(elsewhere(opened('setting'), 'dc2'), 'dc2/overview');
});

test('names that browsers would fold away have addresses of their own', () => {
  for (const name of ['.', '..', '..\0', '...', 'a..', '\0']) {
    const { pathname } = new URL(`http://h/ui/${to.instance('dc1', name, name, name, 'metadata')}`);
    const found = parse(pathname.slice('/ui/'.length));
    assert.deepEqual([found.page, found.name, found.node, found.id, found.tab], ['instance', name, name, name, 'metadata']);
    assert.equal(parse(new URL(`http://h/${to.node('dc1', name)}`).pathname.slice(1)).name, name);
  }
});
