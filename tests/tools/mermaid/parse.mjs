// Copyright (c) 2026, the cortex.larry contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Reads a JSON list of Mermaid diagrams and writes a JSON list of what Mermaid's own parser makes of each:
// {type, title, tasks} of a gantt, {type, nodes, edges, groups} of a flowchart, {error} of what it refuses.

import { readFileSync } from "node:fs";
import { Window } from "happy-dom";

// Mermaid cleans labels with DOMPurify, which wants a document before it is loaded.
globalThis.window = new Window();
globalThis.document = globalThis.window.document;
const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
const { maxTextSize } = mermaid.mermaidAPI.defaultConfig;

// As Mermaid does it when it has drawn: entities travel through its grammars under these signs.
const text = (label) => (label ?? "").replaceAll("ﬂ°°", "&#").replaceAll("ﬂ°", "&").replaceAll("¶ß", ";");

async function parsed(diagram) {
  if (diagram.length > maxTextSize) {
    throw new Error(`${diagram.length} characters, Mermaid draws at most ${maxTextSize}`);
  }
  const { diagramType: type } = await mermaid.parse(diagram);
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(diagram);
  if (type === "gantt") {
    const tasks = db.getTasks().map((task) => ({
      section: text(task.section),
      name: text(task.task).trim(),
      start: Number(task.startTime),
      end: Number(task.endTime),
      tags: ["done", "crit", "active"].filter((tag) => task[tag]),
    }));
    return { type, title: text(db.getDiagramTitle()), tasks };
  }
  return {
    type,
    nodes: Object.fromEntries([...db.getVertices()].map(([id, node]) => [id, text(node.text)])),
    edges: db.getEdges().map((edge) => [edge.start, edge.end, edge.stroke, text(edge.text)]),
    groups: db.getSubGraphs().map((group) => [text(group.title), group.nodes]),
  };
}

const answers = [];
for (const diagram of JSON.parse(readFileSync(0, "utf8"))) {
  answers.push(await parsed(diagram).catch((error) => ({ error: String(error.message ?? error) })));
}
console.log(JSON.stringify(answers));
