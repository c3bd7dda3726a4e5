// Talks to the playground's control API, and listens to what happens.

const meta = (name) => document.querySelector(`meta[name="playground-${name}"]`).content;
const ROOT = `${meta("base")}/_playground`;
const HEADERS = { "X-Playground-Token": meta("token") };

export class Refused extends Error {}

export async function call(method, path, body) {
  const options = { method, headers: { ...HEADERS } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(ROOT + path, options);
  const document_ = await response.json();
  if (!response.ok) throw new Refused(document_.error ?? String(response.status));
  return document_;
}

export const query = (values) => `?${new URLSearchParams(values)}`;

// EventSource cannot send the token as a header, and a token in an address ends up in logs.
export async function listen(onNote, onLine) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const response = await fetch(`${ROOT}/feed`, { headers: HEADERS });
      if (response.status === 401) return onLine("stale");
      if (!response.ok) throw new Error(String(response.status));
      onLine("on");
      wait = 500;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) if (part.startsWith("data: ")) onNote(JSON.parse(part.slice(6)));
      }
    } catch {
      // the next round tries again
    }
    onLine("off");
    await new Promise((done) => setTimeout(done, wait));
  }
}
