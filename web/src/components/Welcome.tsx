/** An empty conversation: what this is, and a few ways to begin. */

const IDEAS = [
  "Write a Python function that checks whether a string is a palindrome",
  "Explain the difference between a process and a thread",
  "Plan a small web shop: pages, tables, endpoints",
];

export function Welcome({ onPick }: { onPick: (text: string) => Promise<void> }) {
  return (
    <div className="uci-welcome">
      <h2>What shall we work on?</h2>
      <p>Every message is stored before the AI starts, and every reply as it is written.</p>
      <ul>
        {IDEAS.map((idea) => (
          <li key={idea}>
            <button type="button" onClick={() => void onPick(idea)}>
              {idea}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
