const EXAMPLES = [
  "What does a timber extension cost?",
  "Which insulation suits a timber frame wall?",
  "Who can advise me on adding a storey?",
];

export function Welcome({ onExample }: Readonly<{ onExample: (question: string) => void }>) {
  return (
    <section className="welcome">
      <h2>What would you like to build?</h2>
      <p>Ask about planning, costs, materials or past projects. The right specialist answers.</p>
      <ul>
        {EXAMPLES.map((question) => (
          <li key={question}>
            <button type="button" className="button" onClick={() => onExample(question)}>
              {question}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
