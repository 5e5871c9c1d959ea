import { useEffect } from "react";

/** Let the tab be called what it shows. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}
