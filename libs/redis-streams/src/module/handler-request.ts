/**
 * What `@Inject(REQUEST)` gives a request-scoped handler, and what a durable-provider strategy gets to attach to.
 * Has the shape of `RequestContext` of `@nestjs/microservices`.
 */
export class HandlerRequest<Data = unknown, Context = unknown> {
  constructor(
    /** The service a stream was announced for; the full name of a partitioned stream or a queue; a room, or the pattern of rooms, as the decorator has it. */
    readonly pattern: string,
    /** `lease.info`; a message's data, or those of a batch; for the other hooks, the event. */
    readonly data: Data,
    /** The lease; the context of a message or a batch; for the other hooks, the event. */
    readonly context: Context,
  ) {}

  getPattern(): string {
    return this.pattern;
  }

  getData(): Data {
    return this.data;
  }

  getContext(): Context {
    return this.context;
  }
}
