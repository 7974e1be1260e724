/** Nodes and services by name, whatever the name: one that no address can hold is looked for in the list of all nodes. */

import { isAddressable, withQuery } from './api.js';

const all = (dc) => withQuery('/v1/internal/ui/nodes', { dc });

/** The address that has a node. */
export const nodePath = (name, dc) =>
  isAddressable(name) ? withQuery(`/v1/internal/ui/node/${encodeURIComponent(name)}`, { dc }) : all(dc);

/** The node in an answer of `nodePath`; undefined if it is not there. */
export const nodeIn = (body, name) =>
  Array.isArray(body) ? body.find((each) => each.Node === name) : (body ?? undefined);

/** The address that has the instances of a service. */
export const servicePath = (name, dc) =>
  isAddressable(name) ? withQuery(`/v1/health/service/${encodeURIComponent(name)}`, { dc }) : all(dc);

/** The instances in an answer of `servicePath`, as `{Node, Service, Checks}`. */
export function instancesIn(body, name) {
  if (isAddressable(name)) return body ?? [];
  return (body ?? []).flatMap((node) =>
    (node.Services ?? [])
      .filter((service) => service.Service === name)
      .map((Service) => ({
        Node: node,
        Service,
        Checks: (node.Checks ?? []).filter((check) => !check.ServiceID || check.ServiceID === Service.ID),
      })),
  );
}
