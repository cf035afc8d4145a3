import { useEffect, useRef } from "react";

import type { Message } from "@/lib/conversation";

import { Welcome } from "./Welcome";

interface Props {
  messages: Message[];
  status: "loading" | "idle" | "pending";
  error: string | null;
  onRetry: (() => void) | null;
  onExample: (question: string) => void;
}

export function MessageList({ messages, status, error, onRetry, onExample }: Readonly<Props>) {
  const end = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (messages.length > 0) {
      end.current?.scrollIntoView({ block: "end" });
    }
  }, [messages, status, error]);

  return (
    <div className="messages" role="log" aria-label="Conversation" tabIndex={0}>
      {messages.length === 0 && status === "idle" && <Welcome onExample={onExample} />}
      {messages.map((message) => (
        <Bubble key={message.id} message={message} />
      ))}
      {status === "pending" && (
        <p className="pending" role="status" data-testid="pending">
          <span className="dots" aria-hidden="true" />
          The assistant is thinking …
        </p>
      )}
      {(error ?? onRetry) && (
        <div className="error" role="alert" data-testid="error">
          <p>{error ?? "This question has no answer yet."}</p>
          {onRetry && (
            <button type="button" className="button" onClick={onRetry}>
              Try again
            </button>
          )}
        </div>
      )}
      <div ref={end} />
    </div>
  );
}

function Bubble({ message }: Readonly<{ message: Message }>) {
  const mine = message.author === "user";
  return (
    <article className={mine ? "bubble mine" : "bubble"}>
      <p className="author">{mine ? "You" : (message.agent ?? "Assistant")}</p>
      <p className="text" data-testid={mine ? "question" : "answer"}>
        {message.text}
      </p>
    </article>
  );
}
