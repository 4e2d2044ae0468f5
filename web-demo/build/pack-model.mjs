// Packs a checkpoint for the wire: rounds its 16-bit weights by a bit, stores high and low bytes
// apart, gzips. What the page unpacks is an ordinary checkpoint again.
//
//   node pack-model.mjs MODEL.safetensors OUT.gz [--checkpoint OUT.safetensors]

import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/** Bits of the mantissa that are rounded away: 1 of 10 makes a relative error of at most 2^-10. */
const ROUNDED_BITS = 1;

/** The header of a safetensors file, and where its data begin. */
export function header(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  return { text: JSON.parse(bytes.subarray(8, 8 + length).toString()), end: 8 + length };
}

/** The checkpoint with every 16-bit weight rounded to nearest, ties to even. */
export function rounded(bytes) {
  const { text, end } = header(bytes);
  const out = Buffer.from(bytes);
  const [half, mask] = [(1 << ROUNDED_BITS) >> 1, (1 << ROUNDED_BITS) - 1];
  for (const [name, tensor] of Object.entries(text)) {
    if (name === "__metadata__") continue;
    if (tensor.dtype !== "F16") throw new Error(`${name}: expected F16, got ${tensor.dtype}`);
    for (let at = end + tensor.data_offsets[0]; at < end + tensor.data_offsets[1]; at += 2) {
      const value = out.readUInt16LE(at);
      const odd = (value >> ROUNDED_BITS) & 1;
      const up = (value & mask) > half || ((value & mask) === half && odd) ? 1 : 0;
      const next = ((value >> ROUNDED_BITS) + up) << ROUNDED_BITS;
      if ((next & 0x7c00) === 0x7c00) throw new Error(`${name}: a weight becomes infinite`);
      out.writeUInt16LE(next, at);
    }
  }
  return out;
}

/** `[header length: u32][header][high bytes][low bytes]`, gzipped; see src/unpack.js. */
export function packed(bytes) {
  const { end } = header(bytes);
  const weights = bytes.length - end;
  if (weights % 2) throw new Error("an odd number of bytes of 16-bit weights");
  const out = Buffer.alloc(4 + bytes.length);
  out.writeUInt32LE(end, 0);
  bytes.copy(out, 4, 0, end);
  for (let i = 0; i < weights / 2; i += 1) {
    out[4 + end + i] = bytes[end + 2 * i + 1];
    out[4 + end + weights / 2 + i] = bytes[end + 2 * i];
  }
  return gzipSync(out, { level: 9 });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [model, target, option, checkpoint] = process.argv.slice(2);
  const small = rounded(readFileSync(model));
  writeFileSync(target, packed(small));
  if (option === "--checkpoint") writeFileSync(checkpoint, small);
}
