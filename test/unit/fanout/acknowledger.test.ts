import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Acknowledger, type AcknowledgerHost } from '../../../libs/redis-streams/dist/fanout/acknowledger.js';

interface Host extends AcknowledgerHost {
  readonly said: string[];
  quiet: boolean;
  prepared: () => Promise<void>;
  answer: (command: string) => Promise<number[]> | undefined;
}

function hostOf(): Host {
  const acknowledgement = (session: string, acks: ReadonlyArray<{ room: string; turn: number }>): string => `${session} ${acks.map(({ room, turn }) => `${room}:${turn}`).join(' ')}`;
  const host: Host = {
    said: [],
    quiet: true,
    prepared: async () => undefined,
    answer: (command) => Promise.resolve(command.split(' ').slice(1).map(() => 1)),
    session: () => 's',
    store: {
      spoken: { inFull: acknowledgement, inShort: (...args: Parameters<typeof acknowledgement>) => `short ${acknowledgement(...args)}` },
      prepare: async (room: string) => (host.said.push(`prepared by ${room}`), host.prepared()),
      acknowledge: async (session: string, acks: never[]) => (host.said.push(`elsewhere ${acknowledgement(session, acks)}`), acks.map(() => 1)),
    } as never,
    call: (command) => (host.said.push(`asked ${command}`), host.answer(command)),
    tell: (command) => {
      if (host.quiet) host.said.push(`told ${command}`);
      return host.quiet;
    },
  };
  return host;
}

describe('acknowledgements that are not to be answered', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('are told once, and are heard when the room shows its next message', async () => {
    const host = hostOf();
    const acks = new Acknowledger(host);
    const ended = Promise.all([acks.add('a', 1, [], 'told'), acks.add('b', 1, [], 'told')]);
    await Promise.resolve();
    expect(host.said).toEqual(['told s a:1 b:1']);
    acks.passed('a');
    acks.passed('b');
    acks.passed('c');
    expect(await ended).toEqual([true, true]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(host.said).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are said again for an answer when no message follows soon', async () => {
    const host = hostOf();
    host.answer = () => Promise.resolve([1, -1]);
    const acks = new Acknowledger(host);
    const [a, b, c] = [acks.add('a', 1, [], 'told'), acks.add('b', 1, [], 'told'), acks.add('c', 1, [], 'told')];
    await vi.advanceTimersByTimeAsync(30);
    acks.passed('b');
    await vi.advanceTimersByTimeAsync(30);
    expect(host.said).toEqual(['told s a:1 b:1 c:1', 'asked s a:1 c:1']);
    expect(await Promise.all([a, b, c])).toEqual([true, true, false]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a younger one is not said again before its time', async () => {
    const host = hostOf();
    const acks = new Acknowledger(host);
    void acks.add('a', 1, [], 'told');
    await vi.advanceTimersByTimeAsync(40);
    void acks.add('b', 1, [], 'told');
    await vi.advanceTimersByTimeAsync(40);
    expect(host.said).toEqual(['told s a:1', 'told s b:1', 'asked s a:1']);
    await vi.advanceTimersByTimeAsync(60);
    expect(host.said.slice(3)).toEqual(['asked s b:1']);
  });

  it('are all answered before a step out of a room', async () => {
    const host = hostOf();
    let answer: (answers: number[]) => void = () => undefined;
    host.answer = () => new Promise((resolve) => (answer = resolve));
    const acks = new Acknowledger(host);
    const [a, b] = [acks.add('a', 1, [], 'told'), acks.add('b', 2, [], 'told')];
    await Promise.resolve();
    let settled = false;
    const settling = acks.settled().then(() => (settled = true));
    await vi.advanceTimersByTimeAsync(10);
    expect([host.said, settled]).toEqual([['told s a:1 b:2', 'asked s a:1 b:2'], false]);
    answer([1, 1]);
    await settling;
    expect(await Promise.all([a, b])).toEqual([true, true]);
  });

  it('go with the others, answered, when one of them wants an answer, or the connection cannot do without', async () => {
    const host = hostOf();
    const acks = new Acknowledger(host);
    await Promise.all([acks.add('a', 1, [], 'told'), acks.add('b', 1, ['x'], 'asked')]);
    host.quiet = false;
    await acks.add('a', 2, [], 'told');
    expect(host.said).toEqual(['asked s a:1 b:1', 'asked s a:2']);
  });

  it('go another way when the connection cannot be used for the question', async () => {
    const host = hostOf();
    host.answer = () => Promise.reject(new Error('NOSCRIPT'));
    const acks = new Acknowledger(host);
    const ended = acks.add('a', 1, [], 'told');
    await vi.advanceTimersByTimeAsync(60);
    expect(await ended).toBe(true);
    expect(host.said).toEqual(['told s a:1', 'asked s a:1', 'elsewhere s a:1']);
  });

  it('go another way when the connection says nothing', async () => {
    const host = hostOf();
    host.quiet = false;
    host.answer = () => new Promise(() => undefined);
    const acks = new Acknowledger(host);
    const ended = acks.add('a', 1, [], 'asked');
    await vi.advanceTimersByTimeAsync(90);
    expect(host.said).toEqual(['asked s a:1']);
    await vi.advanceTimersByTimeAsync(20);
    expect(host.said).toEqual(['asked s a:1', 'elsewhere s a:1']);
    expect(await ended).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('wait longer where answers take long', async () => {
    const host = hostOf();
    host.quiet = false;
    host.answer = () => new Promise((resolve) => setTimeout(resolve, 150, [1]));
    const acks = new Acknowledger(host);
    for (let turn = 1; turn <= 3; turn++) {
      const ended = acks.add('a', turn, [], 'asked');
      await vi.advanceTimersByTimeAsync(200);
      expect(await ended).toBe(true);
    }
    expect(host.said).toEqual(['asked s a:1', 'elsewhere s a:1', 'asked s a:2', 'asked s a:3']);
  });

  it('go in short once the server knows the script, and in full where the room has not taken them', async () => {
    const host = hostOf();
    let prepared: () => void = () => undefined;
    host.prepared = () => new Promise((resolve) => (prepared = resolve));
    const acks = new Acknowledger(host);
    void acks.add('a', 1, [], 'short');
    await Promise.resolve();
    void acks.add('a', 2, [], 'short');
    await Promise.resolve();
    expect(host.said.splice(0)).toEqual(['prepared by a', 'told s a:1', 'told s a:2']);
    prepared();
    await vi.advanceTimersByTimeAsync(0);
    const [a, b, c] = [acks.add('a', 3, [], 'short'), acks.add('b', 3, [], 'told'), acks.add('c', 3, [], 'asked')];
    await Promise.resolve();
    expect(host.said.splice(0)).toEqual(['told short s a:3', 'asked s b:3 c:3']);
    // Of one before, of a room of which nothing was said, of another: and then of this one.
    acks.again('a', 2);
    acks.again('d', 3);
    acks.again('b', 3);
    expect(host.said).toEqual([]);
    void acks.add('e', 3, [], 'short');
    await Promise.resolve();
    host.said.length = 0;
    acks.again('a', 3);
    acks.again('a', 3);
    acks.again('e', 3);
    await Promise.resolve();
    expect(host.said.splice(0)).toEqual(['asked s a:3 e:3']);
    expect(await Promise.all([a, b, c])).toEqual([true, true, true]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(host.said).toEqual([]);
  });

  it('go in full again after one in short that was not taken, and nobody said so, until the server was told the script anew, once a second at most', async () => {
    const host = hostOf();
    const acks = new Acknowledger(host);
    let turn = 0;
    const say = async (): Promise<string[]> => {
      void acks.add('a', ++turn, [], 'short');
      await vi.advanceTimersByTimeAsync(0);
      acks.passed('b');
      return host.said.splice(0);
    };
    expect(await say()).toEqual(['prepared by a', 'told s a:1']);
    expect(await say()).toEqual(['told short s a:2']);
    await vi.advanceTimersByTimeAsync(60);
    expect(host.said.splice(0)).toEqual(['asked s a:2']);
    host.prepared = () => Promise.reject(new Error('away'));
    expect(await say()).toEqual(['told s a:3']);
    acks.passed('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await say()).toEqual(['prepared by a', 'told s a:4']);
    expect(await say()).toEqual(['told s a:5']);
    acks.passed('a');
    host.prepared = () => Promise.resolve();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await say()).toEqual(['prepared by a', 'told s a:6']);
    expect(await say()).toEqual(['told short s a:7']);
    // The end of a burst, and a step out: it was taken, and another's was not, or nothing followed.
    host.answer = () => Promise.resolve([0]);
    await acks.settled();
    expect(host.said.splice(0)).toEqual(['asked s a:7']);
    expect(await say()).toEqual(['told short s a:8']);
    await vi.advanceTimersByTimeAsync(60);
    expect(host.said.splice(0)).toEqual(['asked s a:8']);
    host.answer = () => Promise.resolve([-1]);
    expect(await say()).toEqual(['told short s a:9']);
    await vi.advanceTimersByTimeAsync(60);
    expect(host.said.splice(0)).toEqual(['asked s a:9']);
    expect(await say()).toEqual(['told short s a:10']);
    // Heard too late that it was not taken: the second try was.
    host.answer = () => Promise.resolve([1]);
    await vi.advanceTimersByTimeAsync(60);
    expect(host.said.splice(0)).toEqual(['asked s a:10']);
    acks.again('a', 10);
    expect(await say()).toEqual(['told short s a:11']);
  });
});
