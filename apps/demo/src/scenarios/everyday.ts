import type { OrderScenario } from './scenario.js';

/** No scenario given: announce until Ctrl-C, or for as long as asked. */
export const everyday: OrderScenario = {
  name: 'balancing',
  about: 'orders are spread over the consumers',
  defaults: () => ({}),
  play: (stage) => stage.untilPart(1),
};
