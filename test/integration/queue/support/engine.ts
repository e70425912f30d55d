// The one place that says where the engine under test comes from.
export * from 'nestjs-redis-streams/queue';
