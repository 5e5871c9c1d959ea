/** The browser's storage; what it doesn't keep lasts as long as the page. */

const unkept = new Map<string, string>();

export const storage = {
  getItem(name: string): string | null {
    const known = unkept.get(name);
    if (known !== undefined) return known;
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  },
  setItem(name: string, value: string): void {
    try {
      localStorage.setItem(name, value);
      unkept.delete(name);
    } catch {
      unkept.set(name, value);
    }
  },
  removeItem(name: string): void {
    unkept.delete(name);
    try {
      localStorage.removeItem(name);
    } catch {
      // Nothing was kept.
    }
  },
};
