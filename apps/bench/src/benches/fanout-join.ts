import type { Bench, Contender } from '../model.js';
import { joinRooms } from './fanout-rooms.js';

const NAME = 'join()';

export const fanoutJoinBench: Bench = {
  name: 'fanout-join',
  about: 'rooms joined per second by one process that asks for all of them at once',
  rounds: { full: 5, short: 0 },
  headline: 'joinsPerSecond',
  contenders: (short): readonly Contender[] => [
    {
      name: NAME,
      round: async (stage) => {
        const rooms = short ? 2_000 : 10_000;
        const worker = await stage.spawn('fanout-idle');
        return { joinsPerSecond: (rooms / (await joinRooms(worker, 0, rooms))) * 1_000 };
      },
    },
  ],
  ratios: [],
};
