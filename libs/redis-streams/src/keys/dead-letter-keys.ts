/** HASH a replay's or a purge's last batch and its answers, for resends, in the slot of the dead letters it is about. Expires. */
export function deadLetterWorkKey(dead: string, work: string): string {
  return `${dead}:work:${work}`;
}
