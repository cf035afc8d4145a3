import { useEffect, useRef, type FormEvent, type KeyboardEvent } from "react";

interface Props {
  ready: boolean;
  pending: boolean;
  onSend: (text: string) => void;
}

export function Composer({ ready, pending, onSend }: Readonly<Props>) {
  const input = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    // Where a finger points, focus would open the keyboard over the answer.
    if (ready && window.matchMedia("(pointer: fine)").matches) {
      input.current?.focus({ preventScroll: true });
    }
  }, [ready]);

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = input.current?.value.trim();
    if (!ready || !input.current || !text) {
      return;
    }
    input.current.value = "";
    onSend(text);
  };

  const sendOnEnter = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // While a word is being composed (accents, Asian scripts), Enter accepts the word.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      event.currentTarget.form?.requestSubmit();
    }
  };

  return (
    <form className="composer" onSubmit={submit}>
      <label htmlFor="message">Your message</label>
      <div className="composer-row">
        {/* Uncontrolled: what somebody typed before the script had loaded stays. */}
        <textarea
          id="message"
          name="message"
          ref={input}
          rows={1}
          maxLength={4000}
          placeholder="Type your question …"
          aria-describedby="message-hint"
          onKeyDown={sendOnEnter}
        />
        <button id="send" type="submit" className="button primary" disabled={!ready}>
          {pending ? "Sending …" : "Send"}
        </button>
      </div>
      <p id="message-hint" className="hint">
        Enter sends, Shift and Enter starts a new line.
      </p>
    </form>
  );
}
