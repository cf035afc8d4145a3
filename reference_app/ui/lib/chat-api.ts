import { parseAgents, type Agent } from "./agents";
import { apiBase } from "./api-base";
import { TOO_SLOW, UNREACHABLE, UNREADABLE, detailOf, errorSentence } from "./sentences";

export interface Answer {
  conversation_id: string;
  message_id: string;
  response: string;
  agent: string;
}

/** An error whose message is a sentence for the person at the screen. */
export class ApiError extends Error {}

// Above the server's own limits, so that their more precise sentence arrives first.
const ANSWER_LIMIT_MS = 130_000;

export async function sendMessage(message: string, conversationId: string | null): Promise<Answer> {
  const body = await call("/chat", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ conversation_id: conversationId, message }),
  });
  if (!isAnswer(body)) {
    throw new ApiError(UNREADABLE);
  }
  return body;
}

export async function listAgents(): Promise<Agent[]> {
  return parseAgents(await call("/agents", {}));
}

async function call(path: string, request: RequestInit): Promise<unknown> {
  const base = apiBase(process.env.NEXT_PUBLIC_API_URL, window.location.origin);
  const response = await fetch(base + path, { ...request, signal: AbortSignal.timeout(ANSWER_LIMIT_MS) }).catch(
    (error: unknown) => {
      throw new ApiError(isTimeout(error) ? TOO_SLOW : UNREACHABLE);
    },
  );
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    throw new ApiError(errorSentence(response.status, detailOf(body)));
  }
  return body;
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}

function isAnswer(body: unknown): body is Answer {
  const answer = body as Partial<Answer> | null | undefined;
  return typeof answer?.conversation_id === "string" && typeof answer.response === "string";
}
