"""The page at /docs: the API's own OpenAPI document, drawn without anything from another host."""

from __future__ import annotations

from typing import Final

REFERENCE_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Feishu Hub API</title>
<style>
:root{color-scheme:light dark;--line:#8884;--dim:#8889}
body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem} section{border:1px solid var(--line);border-radius:8px;padding:.6rem 1rem;margin:.8rem 0}
code{font:13px ui-monospace,monospace} b{display:inline-block;min-width:4.2rem} p{margin:.3rem 0}
pre{overflow:auto;background:#8881;padding:.6rem;border-radius:6px;font-size:12px}
</style>
<h1>Feishu Hub API</h1>
<p>Send <code>Authorization: Bearer TOKEN</code>; the token stands in <code>admin_token</code> in the data directory.
The document itself: <a href="api/v1/openapi.json">openapi.json</a></p>
<main id="list"></main>
<script>
fetch("api/v1/openapi.json").then(r => r.json()).then(doc => {
  const make = (tag, text) => Object.assign(document.createElement(tag), {textContent: text || ""});
  const shape = (s) => !s ? "" : s.$ref ? s.$ref.split("/").pop()
    : s.type === "array" ? shape(s.items) + "[]" : s.type || "any";
  for (const [path, verbs] of Object.entries(doc.paths)) for (const [verb, one] of Object.entries(verbs)) {
    const box = make("section"), head = make("p");
    head.append(make("b", verb.toUpperCase()), make("code", path));
    box.append(head, make("p", one.description || one.summary));
    for (const p of one.parameters || []) if (p.in !== "header")
      box.append(make("p", `${p.name} (${p.in}${p.required ? ", required" : ""}): ${shape(p.schema)}`));
    const ok = one.responses["200"];
    box.append(make("p", "answers " + shape(ok && ok.content && ok.content["application/json"].schema)));
    document.getElementById("list").append(box);
  }
  const shapes = make("pre", JSON.stringify(doc.components.schemas, null, 1));
  document.getElementById("list").append(make("h2", "Shapes"), shapes);
});
</script></html>
"""
