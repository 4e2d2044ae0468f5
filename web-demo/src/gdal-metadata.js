// The XML of GDAL_METADATA (TIFF tag 42112): band names are read from it, tags are added to it.

const unescape = (text) =>
  text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name) => ({ lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" })[name]);
const escape = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** Band descriptions by sample; "" where there is none. */
export function descriptions(xml, samples) {
  const names = new Array(samples).fill("");
  for (const [, attributes, value] of (xml ?? "").matchAll(/<Item\s([^>]*)>([^<]*)<\/Item>/g)) {
    const role = /role="description"/i.test(attributes);
    const sample = /sample="(\d+)"/.exec(attributes);
    if (role && sample && Number(sample[1]) < samples) names[Number(sample[1])] = unescape(value);
  }
  return names;
}

/** The XML with more tags, [name, value][]; tags of the same name at the level of the file go. */
export function withTags(xml, tags) {
  const items = tags.map(([name, value]) => `  <Item name="${escape(name)}">${escape(value)}</Item>\n`).join("");
  let old = (xml ?? "").replace(/\0.*$/s, "");
  for (const [name] of tags) {
    old = old.replace(new RegExp(`\\s*<Item name="${name}">[^<]*</Item>`, "g"), "");
  }
  const end = old.lastIndexOf("</GDALMetadata>");
  return end < 0 ? `<GDALMetadata>\n${items}</GDALMetadata>\n` : `${old.slice(0, end)}${items}${old.slice(end)}`;
}

/** The XML without what says how stored values become physical ones, for a raster of another kind. */
export function descriptionsOnly(xml) {
  const items = [...(xml ?? "").matchAll(/<Item\s[^>]*role="description"[^>]*>[^<]*<\/Item>/gi)];
  return items.length ? `<GDALMetadata>\n${items.map(([item]) => `  ${item}\n`).join("")}</GDALMetadata>\n` : undefined;
}
