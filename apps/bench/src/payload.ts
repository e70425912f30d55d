/** What the demo announces: about 160 bytes of JSON. */
export function order(i: number): Record<string, unknown> {
  return {
    order_id: `order-${i}`,
    customer_id: `customer-${i % 1_000}`,
    amount: (i % 10_000) / 100,
    priority: (['low', 'normal', 'high'] as const)[i % 3],
    status: 'pending',
    created_at: '2025-01-01T00:00:00.000Z',
  };
}

/** The `lbs-input` field as any producer writes it. */
export function announcement(stream: string, i: number): string {
  return JSON.stringify({ DataStreamName: stream, Info: order(i) });
}

export function streamName(i: number): string {
  return `order-stream-${i}`;
}
