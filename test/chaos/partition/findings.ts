/** Counts what must not be, by kind, and keeps the first few of each for the report. */
export class Findings {
  readonly counts: Record<string, number> = {};
  private readonly samples = new Map<string, string[]>();

  constructor(private readonly kinds: Readonly<Record<string, string>>) {
    for (const kind of Object.keys(kinds)) this.counts[kind] = 0;
  }

  add(kind: string, sample: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    const samples = this.samples.get(kind) ?? [];
    if (samples.length < 3) samples.push(sample);
    this.samples.set(kind, samples);
  }

  breaches(): string[] {
    return [...this.samples].map(([kind, samples]) => `${this.counts[kind]} ${this.kinds[kind]}: ${samples.join('; ')}`);
  }
}
