/** What the page needs to know of the server: while its store is empty, and of what a person should look after. */

export interface ServerStatus {
  readonly spans: number;
  /** The doors spans come in by. */
  readonly doors: readonly { readonly name: string; readonly address: string }[];
  /** What is to be said of doors that others than its machine can reach, a sentence each. */
  readonly openDoors: readonly string[];
  readonly agent: Agent;
}

/** What is known to be lost over UDP. */
export interface Agent {
  /** By the system. */
  readonly droppedDatagrams: number;
  /** They came in and could not be kept. */
  readonly droppedSpans: number;
  readonly services: readonly { readonly service: string; readonly missingBatches: number; readonly lostByClients: number }[];
}
