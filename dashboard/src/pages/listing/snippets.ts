/** What a supplier pastes into a page; `said` comes from a machine and is escaped for each language. */
export function snippets(origin: string, id: string, said: string) {
  const page = `${origin}/listing/${id}`;
  const json = `${origin}/v1/listing/${id}`;
  const badge = `${json}/badge.svg`;
  return {
    page,
    json,
    badge,
    html: `<a href="${page}"><img src="${badge}" alt="${escapedForHtml(said)}" height="20"></a>`,
    markdown: `[![${escapedForMarkdown(said)}](${badge})](${page})`,
  };
}

function escapedForHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&quot;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}

function escapedForMarkdown(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\[\]`*_<>!()]/g, (sign) => `\\${sign}`);
}
