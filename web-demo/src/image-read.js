// PNG, JPEG and whatever else the browser shows, as a scene of three 8-bit bands.

import { KINDS } from "./dtype.js";
import { Refusal } from "./refusal.js";

/** Opens a picture; throws a Refusal when the browser cannot decode it. */
export async function openPicture(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Refusal("This file is neither a GeoTIFF nor a picture this browser can open. Choose a .tif, .png or .jpg.");
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return new PictureScene(context.getImageData(0, 0, width, height), blob.size);
}

class PictureScene {
  constructor({ width, height, data }, bytesRead) {
    Object.assign(this, { width, height, data, bytesRead });
    this.type = "picture";
    this.kind = KINDS.uint8;
    this.nodata = undefined;
    this.photometric = 2;
    const transparent = data.some((value, i) => i % 4 === 3 && value < 255);
    this.alpha = transparent ? [3] : [];
    this.samples = transparent ? 4 : 3;
    this.names = ["red", "green", "blue", "alpha"].slice(0, this.samples);
    this.tag = () => undefined;
  }

  async read({ col, row, width, height }, samples) {
    return [...samples].map((sample) => {
      const band = new Uint8Array(width * height);
      for (let r = 0, i = 0; r < height; r += 1) {
        for (let at = ((row + r) * this.width + col) * 4 + sample, c = 0; c < width; c += 1, at += 4, i += 1) {
          band[i] = this.data[at];
        }
      }
      return band;
    });
  }

  async overview() {
    return undefined;
  }
}
