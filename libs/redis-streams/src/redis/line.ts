import type { Redis } from 'ioredis';
import { ConnectionError } from '../errors/index.js';
import { Refusal, RespReader, type Reply } from '../kernel/resp-reader.js';
import { hearsWhileHushed } from '../kernel/server-info.js';
import { isIdle, send, socketOf } from './compat.js';
import { withDeadline } from './deadline.js';
import { bulk } from './wire.js';

/** From here on the server is to answer nothing, or everything again. */
const ANSWER_NOTHING = encode(['CLIENT', 'REPLY', 'OFF']);
const ANSWER = encode(['CLIENT', 'REPLY', 'ON']);
/** Commands by which it is tried. */
const PROBES = 4;

type Verb = 'ssubscribe' | 'subscribe' | 'sunsubscribe' | 'unsubscribe';

interface Waiting {
  /** Of a subscription: it is answered for each channel. */
  readonly verb: Verb | undefined;
  left: number;
  readonly since: number;
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/**
 * A connection that hears channels and, with RESP3, takes commands besides: what is said in a channel and what is answered to
 * it come in one stretch, in one order. ioredis connects it - TLS, AUTH, Cluster as configured - and hands its socket over. It
 * never reconnects: whatever goes wrong ends it, and everything that waits for an answer is told so.
 */
export class Line {
  private readonly reader = new RespReader();
  private readonly waiting: Waiting[] = [];
  private readonly socket: ReturnType<typeof socketOf>;
  private watchdog: NodeJS.Timeout | undefined;
  private ended = false;
  private three = false;
  /** Whether the server can be asked for no answers; 'untried' until somebody wants to. */
  private hushes: boolean | 'untried' = false;
  /** Whether it is asked for none. */
  private hushed = false;

  private constructor(
    private readonly client: Redis,
    private readonly answerMs: number,
    private readonly hear: (channel: string, message: string) => void,
    private readonly onEnd: (why: string) => void,
  ) {
    this.socket = socketOf(client);
    this.socket.removeAllListeners('data');
    this.socket.on('data', (chunk) => this.received(chunk));
    client.once('end', () => this.end('it ended'));
  }

  /** `onEnd` is called once, unless `close` was. @throws ConnectionError */
  static async open(client: Redis, answerMs: number, hear: (channel: string, message: string) => void, onEnd: (line: Line, why: string) => void): Promise<Line> {
    const lost = new Promise<never>((_, reject) => client.once('end', () => reject(new ConnectionError('the subscriber connection ended'))));
    lost.catch(() => undefined);
    try {
      // When this is answered, what ioredis has sent before it to set the connection up is answered too.
      do await withDeadline(Promise.race([send(client, false, 'TIME', []), lost]), answerMs, () => new ConnectionError(`no subscriber connection within ${answerMs} ms`));
      while (!isIdle(client));
    } catch (error) {
      client.disconnect();
      throw error;
    }
    const line: Line = new Line(client, answerMs, hear, (why) => onEnd(line, why));
    const hello = await line.command(['HELLO', '3']).catch((error: unknown) => error as Error);
    line.three = !(hello instanceof Error);
    if (hearsWhileHushed(hello)) line.hushes = 'untried';
    return line;
  }

  /** Whether it takes commands while it hears channels. */
  get takesCommands(): boolean {
    return this.three && !this.ended;
  }

  /** Whether it takes commands, besides, that the server does not answer. Whoever asks first is told no, and it is tried. */
  get takesUnanswered(): boolean {
    if (this.hushes === 'untried') this.tryToHush();
    return this.hushes === true && !this.ended;
  }

  /** @throws ConnectionError | Refusal */
  command(args: readonly string[]): Promise<Reply> {
    return this.write(encode(args), undefined, 1);
  }

  /** A command as it stands on the wire, whose answer nobody wants, be it an error: neither side is woken for it. */
  unanswered(text: string): void {
    if (this.ended) return;
    this.socket.write(this.hushed ? text : ANSWER_NOTHING + text);
    this.hushed = true;
  }

  /** A command as it stands on the wire. @throws as `command` */
  encoded(text: string): Promise<Reply> {
    return this.write(text, undefined, 1);
  }

  /** Resolves when the server has confirmed all. @throws as `command` */
  async channels(verb: Verb, channels: readonly string[]): Promise<void> {
    await this.write(`*${channels.length + 1}\r\n${bulk(verb)}${channels.map(bulk).join('')}`, verb, channels.length);
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.watchdog);
    this.client.disconnect();
    // Not only its half of it: whatever the server still has to say is for nobody, and must not keep the process.
    this.socket.destroy();
    for (const { reject } of this.waiting.splice(0)) reject(new ConnectionError('the subscriber connection ended'));
  }

  /** Finds out whether the server leaves out answers when asked to, and this user may ask. */
  private tryToHush(): void {
    this.hushes = false;
    const answers: unknown[] = [];
    const answered = (reply: unknown): void => {
      answers.push(reply);
      if (!Array.isArray(reply) || !reply.includes('server')) return;
      // HELLO's, the last. Before it only the one to "answer again"; more where it is refused or ignored.
      this.waiting.splice(0, PROBES - answers.length);
      this.hushes = answers.length === 2 && answers[0] === 'OK';
    };
    for (let i = 0; i < PROBES; i++) this.expect(undefined, 1, answered, answered);
    this.socket.write(ANSWER_NOTHING + encode(['TIME']) + ANSWER + encode(['HELLO']));
  }

  private write(text: string, verb: Verb | undefined, left: number): Promise<Reply> {
    if (this.ended) return Promise.reject(new ConnectionError('the subscriber connection ended'));
    return new Promise((resolve, reject) => {
      if (this.hushed) this.expect(undefined, 1, this.answersAgain, this.refusesToAnswer);
      this.expect(verb, left, resolve, reject);
      this.socket.write(this.hushed ? ANSWER + text : text);
      this.hushed = false;
    });
  }

  /** Anything else answers what was to have none: it was not kept back, and each answer from here on would be taken for another's. */
  private readonly answersAgain = (reply: Reply): void => {
    if (reply !== 'OK') this.end('an answer that was not to be');
  };

  private readonly refusesToAnswer = (error: Error): void => this.end(error.message);

  private expect(verb: Verb | undefined, left: number, resolve: Waiting['resolve'], reject: Waiting['reject']): void {
    this.waiting.push({ verb, left, since: performance.now(), resolve, reject });
    this.watchdog ??= this.watch(this.answerMs);
  }

  private received(chunk: Buffer): void {
    if (this.ended) return;
    try {
      this.reader.push(chunk, this.frame);
    } catch (error) {
      this.end((error as Error).message);
    }
  }

  private readonly frame = (reply: Reply, pushed: boolean): void => {
    // Without RESP3 nothing but lists is said unasked, and nothing else is asked for that is answered with one.
    if ((pushed || !this.three) && Array.isArray(reply) && this.said(reply)) return;
    const first = this.waiting.shift();
    if (!first) return this.end('an answer nobody asked for');
    if (reply instanceof Refusal) first.reject(reply);
    else first.resolve(reply);
  };

  /** @returns false: it is an answer */
  private said(reply: readonly Reply[]): boolean {
    const kind = reply[0];
    switch (kind) {
      case 'smessage':
      case 'message':
        this.hear(textOf(reply[1]), textOf(reply[2]));
        return true;
      case 'ssubscribe':
      case 'subscribe':
      case 'sunsubscribe':
      case 'unsubscribe': {
        const [first] = this.waiting;
        // Else unasked: the channel's slot has moved away.
        if (first?.verb === kind && --first.left === 0) this.waiting.shift()!.resolve(null);
        return true;
      }
      default:
        return this.three;
    }
  }

  /** One timer, however many commands: a command that is answered in time costs it nothing. */
  private watch(ms: number): NodeJS.Timeout {
    const judge = (): void => {
      this.watchdog = undefined;
      const [first] = this.waiting;
      if (!first || this.ended) return;
      const left = first.since + this.answerMs - performance.now();
      if (left > 0) this.watchdog = this.watch(left);
      else this.end(`unanswered for ${this.answerMs} ms`);
    };
    // One turn later: when this process was stalled, the answer may wait in the socket.
    return setTimeout(() => setImmediate(judge), ms).unref();
  }

  private end(why: string): void {
    if (this.ended) return;
    this.close();
    this.onEnd(why);
  }
}

function textOf(reply: Reply | undefined): string {
  return typeof reply === 'string' ? reply : String(reply);
}

function encode(args: readonly string[]): string {
  return `*${args.length}\r\n${args.map(bulk).join('')}`;
}
