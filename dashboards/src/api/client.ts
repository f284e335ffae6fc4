/**
 * Requests to this server's API: as the login or as the holder of a share link, with the form token where something changes.
 *
 * Every failure becomes an `ApiError` with a sentence that can be shown; an aborted request stays an `AbortError`.
 */

export class ApiError extends Error {
  /** `status` is 0 when there was no answer at all. */
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Connection {
  readonly share: string | null;
  readonly xsrf: string;
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

interface ErrorAnswer {
  readonly error?: string | { readonly message?: string };
  readonly errors?: Readonly<Record<string, readonly string[]>>;
}

let connection: Connection = { share: null, xsrf: "" };

/** Called once, before anything is asked. */
export function connect(to: Connection): void {
  connection = to;
}

export interface Asked {
  readonly method?: Method;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** One request; the answer's JSON, undefined when it has none. */
export async function ask<T>(path: string, { method = "GET", body, signal }: Asked = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (connection.share !== null) headers["X-Footfall-Share"] = connection.share;
  if (method !== "GET") headers["X-Xsrftoken"] = connection.xsrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (failure) {
    if (isAborted(failure)) throw failure;
    throw new ApiError(0, "The server does not answer. Look at your connection, then try again.");
  }
  if (!answer.ok) throw new ApiError(answer.status, await messageOf(answer));
  return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T);
}

export function isAborted(failure: unknown): boolean {
  return failure instanceof DOMException && failure.name === "AbortError";
}

async function messageOf(answer: Response): Promise<string> {
  if (answer.status === 401) return "Your login has ended. Load the page again to log in.";
  const said = (await answer.json().catch(() => ({}))) as ErrorAnswer;
  const message = typeof said.error === "string" ? said.error : said.error?.message;
  const fields = Object.values(said.errors ?? {}).flat();
  return message ?? (fields.length > 0 ? fields.join(" ") : `The server answered ${answer.status}.`);
}

/** An address that a link may lead to, such as an export: with the share link, which a link cannot send as a header. */
export function address(path: string, query: Readonly<Record<string, string>>): string {
  const sent = new URLSearchParams(query);
  if (connection.share !== null) sent.set("share", connection.share);
  return `${path}?${sent}`;
}
