"use client";

import { AgentList } from "./AgentList";
import { Composer } from "./Composer";
import { MessageList } from "./MessageList";
import { useConversation } from "./useConversation";

export function Assistant() {
  const { messages, status, error, send, retry, reset } = useConversation();
  return (
    <>
      <header className="header">
        <img className="logo" src="/icon.svg" alt="" width="40" height="40" />
        <div className="title">
          <h1>ERNI Building Agents</h1>
          <p>Your assistant for building with timber</p>
        </div>
        <button
          type="button"
          className="button quiet"
          onClick={reset}
          disabled={messages.length === 0 || status === "pending"}
        >
          New<span className="wide-only"> conversation</span>
        </button>
      </header>
      <div className="workspace">
        <AgentList active={messages.findLast((message) => message.agent)?.agent} />
        <main className="chat">
          <MessageList messages={messages} status={status} error={error} onRetry={retry} onExample={send} />
          <Composer ready={status === "idle"} pending={status === "pending"} onSend={send} />
        </main>
      </div>
    </>
  );
}
