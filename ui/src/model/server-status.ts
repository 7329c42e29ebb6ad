/** What the page needs to know of the server while its store is empty. */

export interface ServerStatus {
  readonly spans: number;
  /** The doors spans come in by. */
  readonly doors: readonly { readonly name: string; readonly address: string }[];
}
