export interface Agent {
  name: string;
  description: string;
}

/** The agents in the API's answer, which is a list or an object that holds one; entries without a name are left out. */
export function parseAgents(body: unknown): Agent[] {
  const list = isRecord(body) ? body["agents"] : body;
  return Array.isArray(list) ? list.map(parseAgent).filter((agent) => agent !== null) : [];
}

function parseAgent(entry: unknown): Agent | null {
  if (typeof entry === "string" && entry) {
    return { name: entry, description: "" };
  }
  if (!isRecord(entry) || typeof entry["name"] !== "string" || !entry["name"]) {
    return null;
  }
  const description = entry["description"] ?? entry["handoff_description"];
  return { name: entry["name"], description: typeof description === "string" ? description : "" };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
