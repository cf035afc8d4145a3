export interface Message {
  id: string;
  author: "user" | "assistant";
  text: string;
  agent?: string;
}

export interface Conversation {
  id: string | null;
  messages: Message[];
}

export const EMPTY: Conversation = { id: null, messages: [] };

const KEY = "erni-conversation";

type TabStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** The tab's conversation; whatever cannot be read counts as none, because a fresh start beats a broken page. */
export function load(storage: TabStorage): Conversation {
  try {
    const stored: unknown = JSON.parse(storage.getItem(KEY) ?? "null");
    return isConversation(stored) ? stored : EMPTY;
  } catch {
    return EMPTY;
  }
}

export function save(storage: TabStorage, conversation: Conversation): void {
  try {
    if (conversation.messages.length === 0) {
      storage.removeItem(KEY);
    } else {
      storage.setItem(KEY, JSON.stringify(conversation));
    }
  } catch {
    // Storage can be full or forbidden. The conversation then lives as long as the page does.
  }
}

function isConversation(value: unknown): value is Conversation {
  const conversation = value as Partial<Conversation> | null;
  return (
    (conversation?.id === null || typeof conversation?.id === "string") &&
    Array.isArray(conversation.messages) &&
    conversation.messages.every((message) => typeof message?.text === "string" && typeof message.id === "string")
  );
}
