import { createRedisServer } from 'js-redis-server';

// A process of its own, so that it competes with nobody's event loop and ends with the demo.
const server = await createRedisServer({ port: 0 });
process.send?.({ port: server.port });
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
