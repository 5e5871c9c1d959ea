/** What is typed and not sent yet, a text for each place: kept through a switch and a reload. */

export class UnsentTexts {
  private readonly texts = new Map<string, string>();

  constructor(private readonly userId: string) {}

  read(place: string): string {
    const kept = () => globalThis.sessionStorage?.getItem(this.nameOf(place));
    return this.texts.get(place) ?? attempt(kept) ?? "";
  }

  write(place: string, text: string): void {
    const name = this.nameOf(place);
    this.texts.set(place, text);
    attempt(() => globalThis.sessionStorage?.removeItem(name));
    if (text) attempt(() => globalThis.sessionStorage?.setItem(name, text));
  }

  private nameOf(place: string): string {
    return `unsent ${this.userId} ${place}`;
  }
}

/** Do something that a browser may refuse, because it is full or keeps nothing. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
