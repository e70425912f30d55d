/** Text that is JSON already: a producer sends it as it is. */
export class RawJson {
  constructor(readonly text: string) {}
}
