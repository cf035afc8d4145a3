import { useCallback, useEffect, useState } from "react";

import { sendMessage } from "@/lib/chat-api";
import { EMPTY, load, save, type Conversation, type Message } from "@/lib/conversation";

type Status = "loading" | "idle" | "pending";

/** The tab's conversation: survives a reload of the page, ends with the tab. */
export function useConversation() {
  const [conversation, setConversation] = useState<Conversation>(EMPTY);
  const [status, setStatus] = useState<Status>("loading");
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    setConversation(load(window.sessionStorage));
    setStatus("idle");
  }, []);

  useEffect(() => {
    if (status !== "loading") {
      save(window.sessionStorage, conversation);
    }
  }, [conversation, status]);

  const ask = useCallback(async (question: string, asked: Conversation) => {
    setError(null);
    setStatus("pending");
    try {
      const answer = await sendMessage(question, asked.id);
      const reply: Message = { id: answer.message_id, author: "assistant", text: answer.response, agent: answer.agent };
      setConversation({ id: answer.conversation_id, messages: [...asked.messages, reply] });
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
    }
    setStatus("idle");
  }, []);

  const send = (text: string) => {
    const question: Message = { id: `question-${conversation.messages.length}`, author: "user", text };
    const asked = { ...conversation, messages: [...conversation.messages, question] };
    setConversation(asked);
    void ask(text, asked);
  };

  const last = conversation.messages.at(-1);
  const unanswered = status === "idle" && last?.author === "user" ? last : null;
  const retry = unanswered && (() => void ask(unanswered.text, conversation));

  const reset = () => {
    setError(null);
    setConversation(EMPTY);
  };

  return { messages: conversation.messages, status, error, send, retry, reset };
}
