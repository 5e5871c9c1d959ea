/** Those who want to know of a change. */

export class Listeners {
  private readonly all = new Set<() => void>();

  /** Add one; it is taken out again by the returned function. */
  add = (listener: () => void): (() => void) => {
    this.all.add(listener);
    return () => this.all.delete(listener);
  };

  notify = (): void => {
    for (const listener of this.all) listener();
  };

  clear(): void {
    this.all.clear();
  }
}
