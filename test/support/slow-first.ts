import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that mostly wait, for deadlines, deaths and failovers: last in the queue, one of them would run alone. Slowest first. */
const SLOW = [
  'partition/poison', 'partition/server-faults-outage', 'partition/server-faults', 'lease/faults', 'lease/traffic', 'partition/pause', 'support/servers',
  'partition/graceful', 'lease/sessions', 'lease/failover', 'partition/takeover', 'lease/regressions',
];

export default class SlowFirst extends BaseSequencer {
  /** Without a list of how long each took, as in a fresh checkout, the order would be that of the files' sizes. */
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = SLOW.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at < 0 ? SLOW.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}
