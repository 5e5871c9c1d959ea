import { MoonIcon, SunIcon } from "@radix-ui/react-icons";
import { useState } from "react";
import { storage } from "./storage";

/** Light or dark: as the system has it, until something else is chosen here. */
export function ThemeButton() {
  const [isDark, setDark] = useState(isDarkNow);
  function turn() {
    const theme = isDark ? "light" : "dark";
    storage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
    setDark(!isDark);
  }
  const label = isDark ? "Light theme" : "Dark theme";
  return (
    <button
      type="button"
      className="uci-icon-button"
      aria-label={label}
      title={label}
      onClick={turn}
    >
      {isDark ? <SunIcon aria-hidden /> : <MoonIcon aria-hidden />}
    </button>
  );
}

function isDarkNow(): boolean {
  const { theme } = document.documentElement.dataset;
  return (
    theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches)
  );
}
