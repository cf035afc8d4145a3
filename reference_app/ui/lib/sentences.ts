export const UNREACHABLE = "The assistant cannot be reached. Check your connection, then try again.";
export const TOO_SLOW = "The assistant took too long to answer. Try again, perhaps with a shorter question.";
export const UNREADABLE = "The assistant's answer could not be read. Try again; if it happens again, tell the operators.";

const BY_STATUS: Readonly<Record<number, string>> = {
  401: "This assistant needs you to sign in first.",
  403: "You are not allowed to use this assistant.",
  413: "The message is too long. Shorten it and send it again.",
  422: "The assistant could not understand the message. Rephrase it and send it again.",
  429: "Too many messages were sent in a short time. Wait a minute, then try again.",
  502: "The assistant is not available right now. Try again in a minute.",
  503: "The assistant is busy or being updated. Try again in a minute.",
  504: TOO_SLOW,
};

/** What a person reads when the API answers with an error; `detail` is the API's own sentence, if it gave one. */
export function errorSentence(status: number, detail?: string): string {
  if (detail) {
    return detail;
  }
  return BY_STATUS[status] ?? `The assistant answered with an error (${status}). Try again; if it stays, tell the operators.`;
}

/** The API's own sentence in an error's body. Lists of validation errors and HTML pages of a proxy are none. */
export function detailOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("detail" in body) || typeof body.detail !== "string") {
    return undefined;
  }
  const detail = body.detail.trim();
  // "Not Found" or "Internal Server Error" tell a person nothing that the status would not tell better.
  return /\s.*[.!?]$/.test(detail) ? detail : undefined;
}
