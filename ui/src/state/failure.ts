/** A failed request as the pages show it. */
import { RequestError } from '../api/request';

export interface Failure {
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  readonly title: string;
  readonly detail: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof RequestError) return { status: error.status, title: error.title, detail: error.message };
  return { status: 0, title: 'Something went wrong in the page', detail: String(error) };
}
