// The worker that computes: opens an engine, holds the model, fills windows.
// The page asks with { id, call, args }; answers are { id, result }, { id, error }, and while a
// call runs { id, progress }, { id, preview } or { id, bytes }. { lost } when the GPU is gone.

import init, { Session, detectClouds, growMask, toStored } from "../pkg/unclouded_wasm.js";
import { sendable } from "./refusal.js";
import { fetchCheckpoint, fetchPacked } from "./unpack.js";

let session;
let module; // the compiled code
let lost = new Promise(() => {}); // when the GPU is gone
const running = new Map();

/** Which GPU there is, or why none is used. */
async function gpu(asked) {
  if (!self.isSecureContext) return { reason: "WebGPU needs https or localhost" };
  if (!navigator.gpu) return { reason: "this browser has no WebGPU" };
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return { reason: "this browser has no WebGPU adapter" };
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info ?? {};
  const name = description || [vendor, device || architecture].filter(Boolean).join(" ") || "unnamed adapter";
  const software = isFallbackAdapter || adapter.isFallbackAdapter || /swiftshader|llvmpipe|basic render|software/i.test(`${name} ${architecture}`);
  if (software && asked !== "webgpu") {
    return { reason: `the only WebGPU adapter here (${name}) is software, slower than the CPU engine` };
  }
  return { name: software ? `${name}, in software` : name };
}

/** Tells the page when the device is lost; wgpu keeps that to itself. */
function watchDevice() {
  const original = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function requestDevice(...args) {
    const device = await original.apply(this, args);
    self.gpuDevice = device;
    lost = device.lost.then(({ reason, message }) => self.postMessage({ lost: message || reason }));
    return device;
  };
}

async function code(url, onBytes) {
  module ??= await WebAssembly.compile(await fetchPacked(url, onBytes));
  await init({ module_or_path: module });
}

const calls = {
  /** Opens an engine: asked is "auto", "webgpu" or "cpu". */
  async start({ url, asked, because }, { post }) {
    await code(url, (bytes) => post({ bytes }));
    let reason = because;
    if (asked !== "cpu") {
      const found = await gpu(asked);
      reason = found.reason;
      if (found.name) {
        try {
          watchDevice();
          session = await Session.create("webgpu");
          return { engine: "webgpu", label: `WebGPU: ${found.name}`, note: session.note };
        } catch (error) {
          reason = `WebGPU (${found.name}) cannot be used: ${error.message}`;
        }
      }
    }
    session = await Session.create("cpu");
    return { engine: "cpu", label: `CPU: ${reason ?? "as asked"}`, note: "" };
  },

  /** Downloads a model and builds its network. */
  async model({ url }, { post }) {
    return session.load(await fetchCheckpoint(url, (bytes) => post({ bytes })));
  },

  /** A model from the user's file. */
  async modelFile({ blob }) {
    return session.load(new Uint8Array(await blob.arrayBuffer()));
  },

  detect({ scene }) {
    return detectClouds(scene);
  },

  grow({ flags, width, height, px }) {
    return growMask(flags, height, width, px);
  },

  async restore({ job, options, previews }, { id, post }) {
    const abort = new AbortController();
    running.set(id, abort);
    try {
      const preview = previews ? (picture) => post({ preview: picture }, [picture.image.buffer]) : undefined;
      const progress = (done, total, texture) => post({ progress: { done, total, texture } });
      const { image, ...restored } = await session.restore(job, options, progress, preview, abort.signal);
      return { ...restored, stored: toStored(options.stored, image, job.nodata) };
    } finally {
      running.delete(id);
    }
  },
};

self.onmessage = async ({ data: { id, call, args } }) => {
  if (call === "abort") {
    running.get(args.id)?.abort();
    return;
  }
  const post = (message, transfer = []) => self.postMessage({ id, ...message }, transfer);
  try {
    const result = await calls[call](args, { id, post });
    const move = [result.stored, result.std, result.provenance].filter(Boolean).map((array) => array.buffer);
    post({ result }, move);
  } catch (error) {
    // A lost device shows first as a failed read; the loss is the better explanation.
    if (error?.kind === "device") await Promise.race([lost, new Promise((done) => { setTimeout(done, 500); })]);
    const crashed = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
    post({ error: { ...sendable(error), kind: crashed ? "crashed" : sendable(error).kind } });
  }
};

// A panic inside a promise of the core surfaces here, not at the call.
self.addEventListener("unhandledrejection", (event) => self.postMessage({ crashed: String(event.reason?.message ?? event.reason) }));
self.addEventListener("error", (event) => self.postMessage({ crashed: event.message }));
