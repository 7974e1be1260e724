/** Reads and writes of keys. A key that an address cannot hold goes through a transaction, so that no other key is met. */

import { get, isAddressable, send, sendText, withQuery } from './api.js';
import { fromBase64, toBase64 } from './bytes.js';

const encoded = (key) => key.split('/').map(encodeURIComponent).join('/');

/** Whether the API's own addresses reach this key. */
export const isReachable = (key) => key !== '' && isAddressable(key.replace(/\/$/, ''));

/** The address of a key or of the keys below a folder. */
export const keyPath = (key, parameters) => withQuery(`/v1/kv/${encoded(key)}`, parameters);

/** One operation in a transaction; `flags` as text. What it returns, and as JSON text. */
async function transaction(dc, operation, flags) {
  const json = JSON.stringify([{ KV: operation }]);
  const sent = flags === undefined ? json : json.replace(/}}]$/, `,"Flags":${flags}}}]`);
  const text = await sendText('PUT', withQuery('/v1/txn', { dc }), sent);
  return { found: (JSON.parse(text).Results ?? []).map((result) => result.KV), text };
}

/** What a key's JSON says; `flags` as text, because they have 64 bits. */
function entry(found, text) {
  return {
    key: found.Key,
    bytes: fromBase64(found.Value),
    flags: /"Flags":\s*(\d+)/.exec(text)?.[1] ?? String(found.Flags),
    modifyIndex: found.ModifyIndex,
    createIndex: found.CreateIndex,
    lockIndex: found.LockIndex,
    session: found.Session ?? '',
  };
}

export const entryOf = (feed) => entry(feed.body[0], feed.text);

/** A key as it is now; null if it is not there. */
export async function read(dc, key) {
  try {
    if (isReachable(key)) {
      const { body, text } = await get(keyPath(key, { dc }));
      return entry(body[0], text);
    }
    const { found, text } = await transaction(dc, { Verb: 'get', Key: key });
    return found[0] ? entry(found[0], text) : null;
  } catch (error) {
    if (error.status === 404 || (error.status === 409 && /doesn't exist/.test(error.message))) return null;
    throw error;
  }
}

/** The outcome of a transaction that checks an index: false if it was another one. */
async function checked(dc, operation, flags) {
  try {
    await transaction(dc, operation, flags);
    return true;
  } catch (error) {
    if (error.status === 409) return false;
    throw error;
  }
}

/** Save if the key is still at this index (0: not there). False if it is not. */
export async function save(dc, key, bytes, flags, index) {
  if (isReachable(key)) return (await send('PUT', keyPath(key, { dc, flags, cas: String(index) }), bytes)) === true;
  return checked(dc, { Verb: 'cas', Key: key, Value: toBase64(bytes), Index: index }, flags);
}

/** Delete if the key is still at this index. False if it is not. */
export async function remove(dc, key, index) {
  if (isReachable(key)) return (await send('DELETE', keyPath(key, { dc, cas: String(index) }))) === true;
  return checked(dc, { Verb: 'delete-cas', Key: key, Index: index });
}

/** All keys below a folder. */
export async function keysBelow(dc, folder) {
  if (isReachable(folder)) {
    try {
      return (await get(keyPath(folder, { dc, keys: true }))).body ?? [];
    } catch (error) {
      if (error.status === 404) return [];
      throw error;
    }
  }
  return (await transaction(dc, { Verb: 'get-tree', Key: folder })).found.map((found) => found.Key);
}

/** Delete all keys below a folder; its name ends with a slash. */
export async function removeBelow(dc, folder) {
  if (!folder.endsWith('/') || folder === '/') throw new Error('only a folder can be deleted with what is in it');
  if (isReachable(folder)) await send('DELETE', keyPath(folder, { dc, recurse: true }));
  else await transaction(dc, { Verb: 'delete-tree', Key: folder });
}
