// Reads a GeoTIFF by windows from a File: only the blocks a window touches are read.

import { GeoTIFF } from "geotiff";
import { kindOf, nodataIn } from "./dtype.js";
import { Refusal } from "./refusal.js";
import { descriptions } from "./gdal-metadata.js";

/** A block larger than this cannot be decoded in a page. */
const LARGEST_BLOCK_BYTES = 512 * 1024 * 1024;
/** More images in one file than this are a mistake, or a loop. */
const MOST_IMAGES = 64;
const COMPRESSIONS = new Set([1, 5, 7, 8, 32773, 32946, 34887, 50000]);

/** What geotiff.js reads from: slices of a file, counted. */
class FileSlices {
  constructor(blob) {
    this.blob = blob;
    this.bytesRead = 0;
  }

  get fileSize() {
    return this.blob.size;
  }

  async fetch(slices) {
    return Promise.all(slices.map(({ offset, length }) => this.slice(offset, length)));
  }

  async slice(offset, length) {
    if (offset >= this.blob.size && length > 0) throw truncated(offset + length, this.blob.size);
    const data = await this.blob.slice(offset, offset + length).arrayBuffer();
    this.bytesRead += data.byteLength;
    return data;
  }

  close() {}
}

function truncated(expected, got) {
  return new Refusal(
    `This GeoTIFF is truncated: its directory points to byte ${expected}, the file ends at ${got}. Copy or download it again.`,
  );
}

/** Opens a GeoTIFF; throws a Refusal with a sentence when it cannot be used. */
export async function openGeoTiff(blob) {
  const source = new FileSlices(blob);
  try {
    const tiff = await GeoTIFF.fromSource(source);
    // All tags at once: the windows need the offsets of the blocks, the output needs the rest.
    tiff.parser.eager = true;
    return new TiffScene(source, tiff, await tiff.getImage(0));
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error) {
  if (error instanceof Refusal) return error;
  const outOfBounds = error instanceof RangeError;
  return new Refusal(
    outOfBounds
      ? "This GeoTIFF ends before its directory does: it is truncated or damaged. Copy or download it again."
      : `This GeoTIFF cannot be read (${error.message}).`,
  );
}

class TiffScene {
  constructor(source, tiff, image) {
    this.source = source;
    this.tiff = tiff;
    this.image = image;
    this.type = "geotiff";
    this.width = image.getWidth();
    this.height = image.getHeight();
    this.samples = image.getSamplesPerPixel();
    this.tag = (tag) => image.fileDirectory.getValue(tag);
    this.checkSize();
    this.kind = this.sampleKind();
    this.checkBlocks();
    this.nodata = nodataIn(this.kind, this.storedNodata());
    const extra = [...(this.tag(338) ?? [])];
    const colours = this.samples - extra.length;
    /** Samples that are opacity, not image. */
    this.alpha = extra.flatMap((use, i) => (use === 1 || use === 2 ? [colours + i] : []));
    this.names = descriptions(this.tag(42112), this.samples);
    this.photometric = this.tag(262) ?? 1;
  }

  get bytesRead() {
    return this.source.bytesRead;
  }

  checkSize() {
    const sane = (n) => Number.isInteger(n) && n > 0 && n < 2 ** 31;
    if (!sane(this.width) || !sane(this.height) || !sane(this.samples) || this.samples > 4096) {
      throw new Refusal(`This GeoTIFF says it is ${this.width} x ${this.height} pixels with ${this.samples} bands, which cannot be.`);
    }
  }

  sampleKind() {
    const bits = [...(this.tag(258) ?? [1])];
    const formats = [...(this.tag(339) ?? bits.map(() => 1))];
    if (bits.some((b) => b !== bits[0]) || formats.some((f) => f !== formats[0])) {
      throw new Refusal(`The bands of this GeoTIFF have different types (${bits.join(", ")} bits); convert it to one type.`);
    }
    // Masks may be packed; they are unpacked to bytes.
    const kind = kindOf(formats[0], bits[0] < 8 ? 8 : bits[0]);
    if (!kind) {
      throw new Refusal(`Pixels of ${bits[0]} bits (sample format ${formats[0]}) are not supported; convert the scene to uint16 or float32.`);
    }
    return kind;
  }

  /** Every block lies inside the file, and none is too large to decode. */
  checkBlocks() {
    const compression = this.tag(259) ?? 1;
    if (!COMPRESSIONS.has(compression)) {
      throw new Refusal(`TIFF compression ${compression} is not supported; convert the scene with DEFLATE or LZW.`);
    }
    if (this.tag(262) === 6) {
      throw new Refusal("This GeoTIFF stores YCbCr colours (JPEG); convert it to RGB with DEFLATE first.");
    }
    const [offsets, counts] = this.image.isTiled ? [this.tag(324), this.tag(325)] : [this.tag(273), this.tag(279)];
    if (!offsets || !counts) throw new Refusal("This GeoTIFF does not say where its pixels are; it is damaged.");
    let end = 0;
    for (let i = 0; i < offsets.length; i += 1) {
      if (Number(counts[i]) > 0) end = Math.max(end, Number(offsets[i]) + Number(counts[i]));
    }
    if (end > this.source.fileSize) throw truncated(end, this.source.fileSize);
    const chunky = (this.tag(284) ?? 1) === 1 ? this.samples : 1;
    const bytes = this.image.getTileWidth() * this.image.getTileHeight() * chunky * (this.kind.bits / 8);
    if (bytes > LARGEST_BLOCK_BYTES) {
      throw new Refusal(`This GeoTIFF is stored in blocks of ${Math.round(bytes / 2 ** 20)} MB, too large for a page; convert it with TILED=YES.`);
    }
  }

  storedNodata() {
    const text = this.tag(42113)?.replace(/\0.*$/, "").trim();
    if (!text) return undefined;
    return /^[+-]?nan$/i.test(text) ? NaN : Number(text);
  }

  /** The native values of a window: one typed array for each of `samples`. */
  async read({ col, row, width, height }, samples) {
    try {
      const window = [col, row, col + width, row + height];
      const arrays = await this.image.readRasters({ window, samples: [...samples] });
      return [...arrays];
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal(`The pixels of this GeoTIFF cannot be decoded (${error.message}); it may be damaged.`);
    }
  }

  /** A small version of the scene, if the file holds one: { scale, width, height, bands }. */
  async overview(samples, largest = 1024) {
    let best;
    for (let i = 1; i < MOST_IMAGES; i += 1) {
      let image;
      try {
        image = await this.tiff.getImage(i);
      } catch {
        break; // no more images, or a damaged one: the scene itself is readable
      }
      const reduced = (image.fileDirectory.getValue(254) ?? 0) === 1;
      const side = Math.max(image.getWidth(), image.getHeight());
      if (reduced && side <= largest && (!best || side > Math.max(best.getWidth(), best.getHeight()))) best = image;
    }
    if (!best) return undefined;
    const bands = await best.readRasters({ samples: [...samples] });
    return { width: best.getWidth(), height: best.getHeight(), bands: [...bands] };
  }
}
