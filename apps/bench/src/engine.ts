/** The one place that names the library under test. */
export * from 'nestjs-redis-streams';
