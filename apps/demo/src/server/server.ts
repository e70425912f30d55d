/** The Redis of one demo. */
export interface DemoServer {
  readonly url: string;
  /** One line for people: what it is and where it came from. */
  readonly about: string;
  readonly kind: 'given' | 'private' | 'embedded';
  /** Given servers are left alone. */
  close(): Promise<void>;
}

/** A password is not for the terminal. */
export function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/[^:@/]*):[^@]*@/, '$1:***@');
}
