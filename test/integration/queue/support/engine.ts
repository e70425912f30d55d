// The one place that says where the engine under test comes from.
export * from '../../../../libs/redis-streams/dist/queue/index.js';
