// Writes a GeoTIFF: strips, DEFLATE with predictor, and the tags of the input it came from.

/** Rows in a strip, unless they would be too large. */
const STRIP_BYTES = 256 * 1024;

// TIFF types: how many bytes, and how they are put.
const TYPES = {
  ascii: { code: 2, size: 1 },
  short: { code: 3, size: 2, put: (view, at, v) => view.setUint16(at, v, true) },
  long: { code: 4, size: 4, put: (view, at, v) => view.setUint32(at, v, true) },
  rational: { code: 5, size: 4, put: (view, at, v) => view.setUint32(at, v, true) },
  double: { code: 12, size: 8, put: (view, at, v) => view.setFloat64(at, v, true) },
};

/** Tags that are copied as they are, where the input has them, and their types. */
const COPIED = {
  269: "ascii", 270: "ascii", 271: "ascii", 272: "ascii", 282: "rational", 283: "rational", 296: "short",
  305: "ascii", 306: "ascii", 315: "ascii", 33432: "ascii",
  33550: "double", 33922: "double", 34264: "double", 34735: "short", 34736: "double", 34737: "ascii",
  42113: "ascii",
};

/**
 * The tags of an input that its output keeps, for a window of it that begins at (col, row).
 * @param {(tag: number) => any} read the input's tags
 */
export function keptTags(read, { col, row }) {
  const kept = {};
  for (const [tag, type] of Object.entries(COPIED)) {
    const value = read(Number(tag));
    if (value === undefined) continue;
    const values = typeof value === "string" ? value.replace(/\0+$/, "") : Array.from(value.length === undefined ? [value] : value);
    kept[tag] = { type, values };
  }
  // Control points say which pixel lies where: the pixel moves with the window's corner.
  if (kept[33922]) {
    const points = kept[33922].values;
    for (let i = 0; i + 5 < points.length; i += 6) {
      points[i] -= col;
      points[i + 1] -= row;
    }
  }
  if (kept[34264]) {
    const m = kept[34264].values;
    m[3] += m[0] * col + m[1] * row;
    m[7] += m[4] * col + m[5] * row;
  }
  return kept;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Rows `from` to `to` of the bands, pixel by pixel, as TIFF lays them out; little endian. */
function strip(image, from, to, bands) {
  const { width, kind } = image;
  const count = bands.length;
  const values = new kind.array((to - from) * width * count);
  bands.forEach((band, b) => {
    for (let i = from * width, at = b; i < to * width; i += 1, at += count) values[at] = band[i];
  });
  if (kind.format !== 3) {
    // Predictor 2: the difference to the same band of the pixel before, modulo the type.
    const line = width * count;
    for (let start = 0; start < values.length; start += line) {
      for (let i = start + line - 1; i >= start + count; i -= 1) values[i] -= values[i - count];
    }
  }
  return new Uint8Array(values.buffer);
}

/**
 * A GeoTIFF as a Blob.
 * @param {{width: number, height: number, kind: import("./dtype.js").Kind, bands: ArrayLike<number>[],
 *   planar?: 1|2, photometric?: number, extraSamples?: number[], tags: object, xml?: string}} image
 *   `tags` as from keptTags, `xml` is GDAL_METADATA
 */
export async function writeGeoTiff(image) {
  const { width, height, kind, bands, planar = 1 } = image;
  const groups = planar === 1 ? [bands] : bands.map((band) => [band]);
  const rowBytes = width * groups[0].length * (kind.bits / 8);
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_BYTES / rowBytes)));
  const parts = [new Uint8Array(8)];
  const [offsets, counts] = [[], []];
  let position = 8;
  for (const group of groups) {
    for (let from = 0; from < height; from += rows) {
      const bytes = await deflate(strip(image, from, Math.min(from + rows, height), group));
      const padding = bytes.length % 2;
      parts.push(bytes, new Uint8Array(padding));
      offsets.push(position);
      counts.push(bytes.length);
      position += bytes.length + padding;
    }
  }
  const short = (...values) => ({ type: "short", values });
  const long = (...values) => ({ type: "long", values });
  const every = (value) => short(...bands.map(() => value));
  const entries = {
    256: long(width),
    257: long(height),
    258: every(kind.bits),
    259: short(8),
    262: short(image.photometric ?? 1),
    273: long(...offsets),
    277: short(bands.length),
    278: long(rows),
    279: long(...counts),
    284: short(planar),
    317: short(kind.format === 3 ? 1 : 2),
    339: every(kind.format),
    ...image.tags,
  };
  const colours = image.photometric === 2 ? 3 : 1;
  const extra = image.extraSamples ?? new Array(Math.max(0, bands.length - colours)).fill(0);
  if (extra.length) entries[338] = short(...extra);
  if (image.xml) entries[42112] = { type: "ascii", values: image.xml };
  if (position > 0xffff0000) throw new Error("a GeoTIFF of more than 4 GB");
  const directory = encode(entries, position);
  parts.push(directory);
  const head = new DataView(parts[0].buffer);
  head.setUint16(0, 0x4949);
  head.setUint16(2, 42, true);
  head.setUint32(4, position, true);
  return new Blob(parts, { type: "image/tiff" });
}

/** The directory that begins at `start`, and the values that do not fit into it. */
function encode(entries, start) {
  const tags = Object.keys(entries).map(Number).sort((a, b) => a - b);
  const values = tags.map((tag) => bytesOf(entries[tag]));
  const size = 2 + 12 * tags.length + 4;
  const outside = values.reduce((sum, { bytes }) => sum + (bytes.length > 4 ? bytes.length + (bytes.length % 2) : 0), 0);
  const all = new Uint8Array(size + outside);
  const view = new DataView(all.buffer);
  view.setUint16(0, tags.length, true);
  let free = size;
  tags.forEach((tag, i) => {
    const { code, count, bytes } = values[i];
    const at = 2 + 12 * i;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, code, true);
    view.setUint32(at + 4, count, true);
    if (bytes.length <= 4) {
      all.set(bytes, at + 8);
    } else {
      view.setUint32(at + 8, start + free, true);
      all.set(bytes, free);
      free += bytes.length + (bytes.length % 2);
    }
  });
  return all;
}

function bytesOf({ type, values }) {
  const { code, size, put } = TYPES[type];
  if (type === "ascii") {
    const bytes = new TextEncoder().encode(`${values}\0`);
    return { code, count: bytes.length, bytes };
  }
  const bytes = new Uint8Array(values.length * size);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => put(view, i * size, value));
  return { code, count: type === "rational" ? values.length / 2 : values.length, bytes };
}
