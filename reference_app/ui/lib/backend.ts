import type { Environment } from "./deployment";

export interface Relay {
  path: string;
  limitSeconds: number;
}

const DEFAULT_BACKEND_URL = "http://backend:8000";
const LARGEST_BODY = 64 * 1024;

// What the backend needs in order to know the caller, to limit its rate and to correlate log lines.
const FORWARDED_HEADERS = ["authorization", "content-type", "x-correlation-id", "x-forwarded-for", "x-forwarded-proto"];
const RETURNED_HEADERS = ["content-type", "retry-after", "www-authenticate", "x-correlation-id"];

/** Passes a request on to the backend and its answer back; without an answer in time, a 502 or 504 that says so. */
export async function relay(request: Request, { path, limitSeconds }: Relay, variables: Environment): Promise<Response> {
  const body = request.method === "GET" ? undefined : await request.text();
  if (body !== undefined && body.length > LARGEST_BODY) {
    return sentence(413, "The message is too long. Shorten it and send it again.");
  }
  try {
    const answer = await fetch(backendUrl(variables) + path, {
      method: request.method,
      headers: pick(request.headers, FORWARDED_HEADERS),
      body,
      cache: "no-store",
      signal: AbortSignal.timeout(limitSeconds * 1000),
    });
    // Read here, not streamed: a backend that dies half way must become a sentence, not a cut body.
    return new Response(await answer.text(), { status: answer.status, headers: pick(answer.headers, RETURNED_HEADERS) });
  } catch (error) {
    return explain(error, path, limitSeconds);
  }
}

function backendUrl(variables: Environment): string {
  return (variables["BACKEND_URL"]?.trim() || DEFAULT_BACKEND_URL).replace(/\/+$/, "");
}

function explain(error: unknown, path: string, limitSeconds: number): Response {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    console.error(`The backend did not answer ${path} within ${limitSeconds} s. Look at its log and load.`);
    return sentence(504, `The assistant did not answer within ${limitSeconds} seconds. Try again in a minute.`);
  }
  console.error(`The backend could not be reached for ${path} (${reason(error)}). Check BACKEND_URL and that it runs.`);
  return sentence(502, "The assistant is not available: its backend does not answer. Try again in a minute.");
}

/** The system's error code, never the message: that would carry the backend's address with whatever is in it. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : error instanceof Error ? error.name : "unknown reason";
}

function sentence(status: number, detail: string): Response {
  return Response.json({ detail }, { status, headers: { "Cache-Control": "no-store" } });
}

function pick(headers: Headers, names: readonly string[]): Headers {
  const picked = new Headers();
  for (const name of names) {
    const value = headers.get(name);
    if (value !== null) {
      picked.set(name, value);
    }
  }
  return picked;
}
