const RELATIVE_BASE = "/api";

/**
 * Where the browser finds the API. The configured public address counts only on its own origin: elsewhere (another
 * port, no nginx) the page's policy forbids it, and the relative base works everywhere.
 */
export function apiBase(configured: string | undefined, pageOrigin: string): string {
  if (!configured || !URL.canParse(configured)) {
    return RELATIVE_BASE;
  }
  return new URL(configured).origin === pageOrigin ? configured.replace(/\/+$/, "") : RELATIVE_BASE;
}
