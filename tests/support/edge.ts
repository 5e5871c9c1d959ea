// Stands in for Supabase's edge runtime: serves functions by the first part of the path.
// Usage: deno run edge.ts <folder of functions> <name>...
// Prints its port as soon as it listens.

type Handler = (request: Request) => Response | Promise<Response>;

const [folder, ...names] = Deno.args;
const handlers = new Map<string, Handler>();
const serve = Deno.serve;

// A machine whose clock is set an hour ahead whenever somebody looks at it.
if (Deno.env.get("CLOCK_IS_SET")) {
  const read = Date.now;
  let hours = 0;
  Date.now = () => read() + 3_600_000 * hours++;
}

for (const name of names) {
  Deno.serve = ((handler: Handler) => handlers.set(name, handler)) as unknown as typeof Deno.serve;
  await import(`file://${folder}/${name}/index.ts`);
}

serve(
  { hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(port) },
  (request) => {
    const { pathname } = new URL(request.url);
    const name = pathname.replace(/^\/functions\/v1(?=\/)/, "").split("/")[1] ?? "";
    const handler = handlers.get(name);
    return handler ? handler(request) : Response.json({ msg: "no such function" }, { status: 404 });
  },
);
