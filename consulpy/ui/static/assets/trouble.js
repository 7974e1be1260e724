/** What is wrong with what one sees: it is old, or not all of it. Pure. */

/**
 * @param {Array} feeds of the view
 * @param leader feed of the leader's address
 * @returns 'away' (no answer), 'leaderless', 'errors' or ''
 */
export function trouble(feeds, leader) {
  const errors = feeds
    .filter((feed) => feed.error && !(feed.isOptional && feed.error.status !== 0))
    .map((feed) => feed.error);
  if (errors.some((error) => error.status === 0) || leader.error?.status === 0) return 'away';
  const isLeaderless = [leader.error, ...errors].some((error) => error?.isLeaderless);
  if (isLeaderless || leader.body === '' || feeds.some((feed) => !feed.knownLeader)) return 'leaderless';
  return errors.some((error) => error.status >= 500 || error.status === 429) ? 'errors' : '';
}

/**
 * Whether lists may lack what may not be read: servers leave it out without a word.
 * Agents that do not tell (real Consul 1.8) are taken to do so if they refuse to be read themselves.
 * @param {Array} feeds of the view
 * @param leader feed of the leader's address
 * @param self feed of the agent's own description
 * @param {boolean} hasToken
 * @returns 'token' (it may not read everything), 'anonymous' or ''
 */
export function hidden(feeds, leader, self, hasToken) {
  const all = [...feeds, leader];
  if (all.some((feed) => feed.isFiltered)) return 'token';
  if (self.error?.status !== 403) return '';
  const policy = all.find((feed) => feed.defaultPolicy)?.defaultPolicy ?? '';
  if (!hasToken) return policy === 'allow' ? '' : 'anonymous';
  return policy ? '' : 'token';
}
