/**
 * Builds dist/styles.css: all styles of the package in one file, the fonts of formulas beside it.
 * Scripts are as the compiler writes them. The tests, and those of the page, run with this too.
 */

import { defaultServerConditions, defineConfig } from "vite";

/** Every browser that runs the package reads woff2: the older formats stay out. */
const woff2Only = {
  postcssPlugin: "woff2-only",
  Declaration: { src: (each: { value: string }) => void (each.value = woff2Of(each.value)) },
};

function woff2Of(sources: string): string {
  return sources.replace(/,\s*url\([^)]+\.(?:woff|ttf)\)\s*format\("\w+"\)/g, "");
}

export default defineConfig({
  base: "./",
  ssr: { resolve: { conditions: ["message-persistence-source", ...defaultServerConditions] } },
  publicDir: false,
  css: { postcss: { plugins: [woff2Only] } },
  build: {
    assetsInlineLimit: 0,
    // light-dark() stays: what older browsers need instead is written where color-scheme is said.
    cssTarget: "esnext",
    rolldownOptions: {
      input: { styles: "src/styles/chat.css" },
      output: {
        assetFileNames: ({ names }) =>
          names[0]?.endsWith(".css") ? "styles.css" : "fonts/[name][extname]",
      },
    },
  },
});
