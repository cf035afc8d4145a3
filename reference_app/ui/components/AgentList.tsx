import { useEffect, useState } from "react";

import type { Agent } from "@/lib/agents";
import { listAgents } from "@/lib/chat-api";

type Agents = { state: "loading" | "unavailable" } | { state: "known"; agents: Agent[] };

export function AgentList({ active }: Readonly<{ active: string | undefined }>) {
  const [known, setKnown] = useState<Agents>({ state: "loading" });

  useEffect(() => {
    listAgents()
      .then((agents) => setKnown({ state: "known", agents }))
      .catch(() => setKnown({ state: "unavailable" }));
  }, []);

  return (
    <aside className="agents" aria-labelledby="agents-title">
      <h2 id="agents-title">The agents</h2>
      {known.state === "loading" && <p className="hint">Looking who is there …</p>}
      {known.state === "unavailable" && <p className="hint">The list of agents is not available right now.</p>}
      {known.state === "known" && (
        <ul data-testid="agents">
          {known.agents.map((agent) => (
            <li key={agent.name} aria-current={agent.name === active ? "true" : undefined}>
              <strong>{agent.name}</strong>
              {agent.description && <span>{agent.description}</span>}
            </li>
          ))}
        </ul>
      )}
    </aside>
  );
}
