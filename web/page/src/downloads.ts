/** Files that the functions give out, byte for byte, with word of how far they are. */

import { type ChatClient, ChatError, saveFile } from "message-persistence-web";
import { projectUrl } from "./supabase";

/**
 * Download a file and let the browser keep it. Throws a ChatError; never saves half a file.
 * Returns the path of the part that comes after it, if there is one.
 */
export async function download(
  client: ChatClient,
  path: string,
  onProgress: (bytes: number) => void,
): Promise<string | null> {
  const { data } = await client.supabase.auth.getSession();
  const response = await fetch(`${projectUrl()}/functions/v1/${path}`, {
    headers: { authorization: `Bearer ${data.session?.access_token ?? ""}` },
  });
  if (!response.ok || !response.body) {
    const body = await response.json().catch(() => ({ code: "unexpected", message: "No file." }));
    throw new ChatError(body, response.status);
  }
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader(); // not every browser iterates over a stream
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    bytes += read.value.length;
    onProgress(bytes);
  }
  saveFile(nameOf(response), new Blob(chunks));
  const query = /<(\?[^>]+)>; *rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  return query ? path.replace(/\?.*|$/, query) : null;
}

function nameOf(response: Response): string {
  const header = response.headers.get("content-disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(header)?.[1];
  return encoded
    ? decodeURIComponent(encoded)
    : (/filename="([^"]+)"/.exec(header)?.[1] ?? "export");
}
