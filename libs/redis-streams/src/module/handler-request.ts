/**
 * What `@Inject(REQUEST)` gives a request-scoped handler, and what a durable-provider strategy gets to attach to.
 * Has the shape of `RequestContext` of `@nestjs/microservices`.
 */
export class LeaseRequest<Data = unknown, Context = unknown> {
  constructor(
    /** Service the stream was announced for. */
    readonly pattern: string,
    /** `lease.info`; for the other hooks, the event. */
    readonly data: Data,
    /** The lease; for the other hooks, the event. */
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
