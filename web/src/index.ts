"use client";

/** What a React app takes over. Each part has an entry of its own, too. */

export * from "./components/index.js";
export * from "./core/index.js";
export * from "./hook/index.js";
