/** An empty conversation: what this is, and a few ways to begin. */

import { useTexts } from "./texts.js";

export function Welcome({ onPick }: { onPick: (text: string) => Promise<void> }) {
  const texts = useTexts();
  return (
    <div className="uci-welcome">
      <h2>{texts.welcome}</h2>
      <p>{texts.promise}</p>
      <ul>
        {texts.examples.map((idea) => (
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
