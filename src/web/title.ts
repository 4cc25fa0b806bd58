/** The name of the page in the browser's tab and for screen readers, which read it when the page changes. */
import { useEffect } from "react";

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Stratiform`;
  }, [title]);
}
