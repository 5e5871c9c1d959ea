// The built page and what it has to know, with the headers that keep it to itself.

import sirv from "sirv";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

function setHeaders(res) {
  for (const [name, value] of Object.entries(HEADERS)) res.setHeader(name, value);
}

/**
 * Serve a folder's files to browsers; pass on what it doesn't hold.
 * @param {{folder: string, publishableKey: string}} page
 */
export function createPage({ folder, publishableKey }) {
  // Looked up each time: the page may be built after the gateway has started.
  const serveFiles = sirv(folder, { dev: true, etag: true, setHeaders });
  return (req, res, next) => {
    const wantsPage = req.method === "GET" || req.method === "HEAD";
    if (!wantsPage) return next();
    if (req.url === "/config.json") {
      res.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
      return res.end(JSON.stringify({ supabaseUrl: "", publishableKey }));
    }
    const wantsJson = req.url === "/" && !req.headers.accept?.includes("text/html");
    return wantsJson ? next() : serveFiles(req, res, next);
  };
}
