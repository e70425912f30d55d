/** The names keys are documented to have: spelled out here, so that renaming one breaks a test. */
export const keysOf = (room: string, { shard = 0, namespace }: { shard?: number; namespace?: string } = {}) => {
  const tag = `{fanout:${namespace === undefined ? '' : `${namespace}:`}${shard}}`;
  return {
    tag,
    registration: `{fanout:${namespace === undefined ? '' : `${namespace}:`}0}:fanout`,
    sessions: `${tag}:sessions`,
    dead: `${tag}:dead`,
    rooms: `${tag}:rooms`,
    state: `${tag}:room:${room}`,
    backlog: `${tag}:backlog:${room}`,
    outcomes: `${tag}:outcomes:${room}`,
  };
};
