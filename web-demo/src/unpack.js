// Downloads with bytes shown, and the two ways of packing the build uses.

/** Fetches `url`, reports bytes as they come; the bytes as they are in the file. */
async function download(url, onBytes) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
  const reader = response.body.getReader();
  const parts = [];
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    received += value.length;
    onBytes(received);
  }
  return new Blob(parts);
}

/** Undoes gzip; a server that did so on the way leaves nothing to do. */
async function gunzip(blob) {
  const [a, b] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (a !== 0x1f || b !== 0x8b) return new Uint8Array(await blob.arrayBuffer());
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A file that was gzipped by the build. */
export async function fetchPacked(url, onBytes = () => {}) {
  return gunzip(await download(url, onBytes));
}

/**
 * A checkpoint: high and low bytes of its 16-bit weights were stored apart, which compresses
 * better. `[header length: u32][header][high bytes][low bytes]`, little endian.
 */
export async function fetchCheckpoint(url, onBytes) {
  const packed = await fetchPacked(url, onBytes);
  const headLength = new DataView(packed.buffer).getUint32(0, true);
  const weights = packed.length - 4 - headLength;
  const [high, low] = [4 + headLength, 4 + headLength + weights / 2];
  const bytes = new Uint8Array(headLength + weights);
  bytes.set(packed.subarray(4, 4 + headLength));
  for (let i = 0, at = headLength; i < weights / 2; i += 1, at += 2) {
    bytes[at] = packed[low + i];
    bytes[at + 1] = packed[high + i];
  }
  return bytes;
}
