/** What the page needs to know of the server: while its store is empty, and of doors that stand open. */

export interface ServerStatus {
  readonly spans: number;
  /** The doors spans come in by. */
  readonly doors: readonly { readonly name: string; readonly address: string }[];
  /** What is to be said of doors that others than its machine can reach, a sentence each. */
  readonly openDoors: readonly string[];
}
