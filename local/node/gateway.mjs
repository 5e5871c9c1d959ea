// One origin for the local stack, as the API gateway of a hosted project is.

import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { createProxyServer } from "httpxy";
import { createPage } from "./page.mjs";

const unavailable = (part) => ({
  code: "unavailable",
  message: `The local ${part} is not answering.`,
  details: null,
  hint: "Run `make up`: it starts whatever is down.",
});

function respond(res, status, body) {
  if (res.headersSent) return res.destroy();
  res.writeHead(status, { "content-type": "application/json", "access-control-allow-origin": "*" });
  res.end(JSON.stringify(body));
}

function respondWithoutPage(req, res) {
  if (req.url === "/") {
    return respond(res, 200, {
      parts: ["/auth/v1", "/rest/v1", "/realtime/v1", "/functions/v1"],
      docs: "/functions/v1/docs",
    });
  }
  return respond(res, 404, {
    code: "not_found",
    message: "There is nothing at this address.",
    details: null,
    hint: null,
  });
}

function isUnder(path, prefix) {
  return path === prefix || path.startsWith(`${prefix}/`) || path.startsWith(`${prefix}?`);
}

/** Answer Auth's preflights, and let pages of any origin read its responses, as hosted does. */
function openToAllOrigins(serve) {
  return async (request) => {
    const preflight = request.method === "OPTIONS";
    const answer = preflight ? new Response(null, { status: 204 }) : await serve(request);
    const headers = new Headers(answer.headers);
    headers.set("access-control-allow-origin", "*");
    if (preflight) {
      headers.set("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE");
      const wanted = request.headers.get("access-control-request-headers");
      headers.set("access-control-allow-headers", wanted ?? "*");
      headers.set("access-control-max-age", "600");
    }
    return new Response(answer.body, { status: answer.status, headers });
  };
}

const NO_ESTIMATES = {
  code: "invalid_request",
  message: "Only count=exact is allowed here.",
  details: null,
  hint: null,
};

// As the recipes' gateways: an estimate comes from statistics, which know no row-level security.
function asksForAnEstimate(req) {
  return isUnder(req.url, "/rest/v1") && /count=(planned|estimated)/.test(req.headers.prefer ?? "");
}

/** @typedef {(request: Request) => Promise<Response>} Serve */

/**
 * Serve the Data API and Auth in this process and pass the rest on to its part.
 * @param {{dataApi: Serve, auth: Serve, functionsUrl: string, realtimeUrl: string, webDist: string, publishableKey: string}} parts
 * @returns {import("node:http").Server}
 */
export function createGateway({ dataApi, auth, functionsUrl, realtimeUrl, webDist, publishableKey }) {
  const servePage = createPage({ folder: webDist, publishableKey });
  const serveDataApi = getRequestListener(dataApi);
  const serveAuth = getRequestListener(openToAllOrigins(auth));
  const proxy = createProxyServer({ xfwd: true, proxyTimeout: 0 });
  const upstreams = [
    { prefix: "/functions/v1", part: "functions", target: functionsUrl },
    { prefix: "/realtime/v1", part: "realtime", target: realtimeUrl },
  ];

  const server = createServer((req, res) => {
    if (asksForAnEstimate(req)) return respond(res, 400, NO_ESTIMATES);
    if (isUnder(req.url, "/rest/v1")) return serveDataApi(req, res);
    if (isUnder(req.url, "/auth/v1")) return serveAuth(req, res);
    const upstream = upstreams.find(({ prefix }) => isUnder(req.url, prefix));
    if (upstream) {
      return proxy
        .web(req, res, { target: upstream.target })
        .catch(() => respond(res, 503, unavailable(upstream.part)));
    }
    return servePage(req, res, () => respondWithoutPage(req, res));
  });

  server.on("upgrade", (req, socket, head) => {
    const upstream = upstreams.find(({ prefix }) => isUnder(req.url, prefix));
    if (!upstream) return socket.destroy();
    proxy.ws(req, socket, { target: upstream.target }, head).catch(() => socket.destroy());
  });
  return server;
}
