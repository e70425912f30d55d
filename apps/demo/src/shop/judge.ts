import { type ServiceName, SERVICES } from './shop-order.js';

/** The figures that a run ends with. */
export interface Figures {
  /** Orders placed: Redis had the event of each. */
  readonly events: number;
  /** By service: of how many of them the handler came to its end. */
  readonly handled: Readonly<Record<ServiceName, number>>;
  /** Events that some service never handled. */
  readonly lost: number;
  readonly requests: number;
  readonly answered: number;
  /** Calls of the API that were answered with an error or not at all, or requests with a wrong answer. */
  readonly failed: number;
  /** Events handled more than once by a service, and how often more. */
  readonly reruns: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Facts {
  readonly placed: ReadonlySet<string>;
  /** By service and order: the instances that handled it, in their order. */
  readonly handled: ReadonlyMap<ServiceName, ReadonlyMap<string, readonly string[]>>;
  readonly requests: number;
  readonly answersMs: readonly number[];
  readonly failures: readonly string[];
  /** Instances that got a SIGKILL. */
  readonly killed: ReadonlySet<string>;
}

export interface Judgement {
  readonly figures: Figures;
  /** Runs again of what no killed instance had handled before. */
  readonly needless: number;
  readonly problems: readonly string[];
}

/** Takes the register's word for what was handled, and the shoppers' for what there was to do and to answer. */
export function judge({ placed, handled, requests, answersMs, failures, killed }: Facts): Judgement {
  const problems = [...failures];
  const missing = new Set<string>();
  let reruns = 0, needless = 0;
  for (const service of SERVICES) {
    const runs = handled.get(service) ?? new Map<string, readonly string[]>();
    for (const id of placed) {
      if (runs.has(id)) continue;
      missing.add(id);
      problems.push(`${id} was never handled by ${service}`);
    }
    for (const [id, by] of runs) {
      reruns += by.length - 1;
      // The last one may have finished it; every one before must be dead.
      const sound = by.slice(0, -1).filter((name) => !killed.has(name));
      if (sound.length === 0) continue;
      needless += sound.length;
      problems.push(`${id} was handled again in ${service}, although ${sound.join(' and ')} was not killed`);
    }
  }
  const handledBy = Object.fromEntries(SERVICES.map((service) => [service, [...placed].filter((id) => handled.get(service)?.has(id)).length])) as Record<ServiceName, number>;
  const sorted = answersMs.toSorted((a, b) => a - b);
  const at = (part: number): number => Math.round((sorted[Math.ceil(sorted.length * part) - 1] ?? 0) * 10) / 10;
  return {
    figures: { events: placed.size, handled: handledBy, lost: missing.size, requests, answered: answersMs.length, failed: failures.length, reruns, p50Ms: at(0.5), p99Ms: at(0.99) },
    needless, problems,
  };
}
