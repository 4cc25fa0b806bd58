/** Whose object it is. Written into the object at creation: libvirt metadata element, LXD `user.stratiform.*` keys, agent state. Uuids. */
export interface OwnerMark {
  /** The installation (one database) that made it. */
  readonly installation: string;
  readonly vapp: string;
  /** The machine, segment or exposure the object realises. */
  readonly object: string;
}

export function sameOwner(a: OwnerMark | null, b: OwnerMark): boolean {
  return a !== null && a.installation === b.installation && a.vapp === b.vapp && a.object === b.object;
}
