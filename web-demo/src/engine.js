// The engine as the page sees it: started when needed, replaced when it dies, and saying why.

import { WorkerClient } from "./worker-client.js";

/** Ended by us or by a lost device, not by a mistake of the user. */
class EngineGone extends Error {}

/** How long a cancelled run may take to end by itself (after the batch it is at) before its
 * worker is ended and started anew. */
const PATIENCE_MS = 1500;

export class Engine {
  /**
   * @param {{code: {url: string}, model: {url: string}}} assets
   * @param {{state: (s: object) => void, bytes: (what: string, bytes: number) => void, notice: (text: string) => void}} on
   */
  constructor(assets, on) {
    this.assets = assets;
    this.on = on;
    this.asked = "auto";
    this.model = undefined; // the user's own checkpoint, else the default
  }

  /** Opens the engine; `because` explains a choice the user did not make. */
  start(because) {
    this.ready ??= this.open(because);
    return this.ready;
  }

  async open(because) {
    const worker = new Worker(new URL("engine.worker.js", import.meta.url), { type: "module" });
    const client = new WorkerClient(worker, (message) => { if (this.client === client) this.gone(message); });
    this.client = client;
    this.loaded = undefined;
    this.on.state({ label: "starting…" });
    this.opening = because ? "cpu" : this.asked;
    const args = { url: this.assets.code.url, asked: this.opening, because };
    try {
      const state = await client.call("start", args, { onUpdate: ({ bytes }) => this.on.bytes("engine", bytes) });
      this.state = state;
    } catch (error) {
      // Another engine may have been chosen meanwhile; its start is not ours to undo.
      if (this.client === client) {
        this.ready = undefined;
        this.on.state({ label: "not available" });
      }
      throw error instanceof EngineGone ? error : new Error(`The engine cannot be started (${error.message}). This browser may be too old, or the connection failed; reload the page.`);
    }
    this.on.state(this.state);
    return this.state;
  }

  /** The worker lost its device or crashed: what is running fails with the reason. */
  gone({ lost, crashed }) {
    if (lost === undefined && crashed === undefined) return;
    // A GPU may also break the engine while it is being opened, before it has a name.
    const opening = !this.state && this.opening !== "cpu";
    const onGpu = lost !== undefined || this.state?.engine === "webgpu" || opening;
    const what = lost !== undefined ? `the WebGPU device was lost (${lost})` : `the engine stopped (${crashed})`;
    this.replace(Object.assign(new EngineGone(what), { onGpu, expected: onGpu }));
    if (onGpu) {
      this.on.notice(`${capital(what)}: going on with the CPU engine.`);
      this.start(what).catch((error) => this.on.notice(error.message));
    }
  }

  replace(error) {
    this.client?.end(error);
    this.client = this.ready = this.loaded = this.state = undefined;
  }

  /** Chooses "auto", "webgpu" or "cpu"; starts anew. */
  async choose(asked) {
    this.asked = asked;
    this.replace(Object.assign(new EngineGone("another engine was chosen"), { expected: true }));
    return this.start();
  }

  /** Loads the model, once; downloads it when it is not here yet. */
  async load() {
    await this.start();
    this.loaded ??= this.model
      ? this.client.call("modelFile", { blob: this.model })
      : this.client.call("model", { url: this.assets.model.url }, { onUpdate: ({ bytes }) => this.on.bytes("model", bytes) });
    try {
      return await this.loaded;
    } catch (error) {
      this.loaded = undefined;
      if (this.model || error.kind !== "failed") throw error;
      throw new Error(`The model cannot be downloaded (${error.message}); check the connection and try again.`);
    }
  }

  /** Takes the user's checkpoint, or with undefined the default one again. */
  async useModel(blob) {
    const before = this.model;
    this.model = blob;
    this.loaded = undefined;
    try {
      return await this.load();
    } catch (error) {
      this.model = before;
      this.loaded = undefined;
      throw error;
    }
  }

  /**
   * Fills a window; goes on with the CPU when the GPU fails. `job()` gives the input anew for
   * each attempt, since it is moved to the worker.
   */
  async restore(job, options, { onUpdate, onRestart, previews }) {
    try {
      return await this.attempt(job, options, { onUpdate, previews });
    } catch (error) {
      const gpu = error.onGpu || (this.state?.engine === "webgpu" && ["device", "crashed"].includes(error.kind));
      if (gpu) {
        if (!(error instanceof EngineGone)) {
          const reason = `the WebGPU engine failed (${error.message})`;
          this.replace(error);
          this.on.notice(`${capital(reason)}: going on with the CPU engine.`);
          this.start(reason);
        }
        onRestart();
        return this.attempt(job, options, { onUpdate, previews });
      }
      if (error.kind === "crashed" || (error instanceof EngineGone && !error.cancelled)) {
        this.replace(error);
        this.start().catch(() => {});
        throw new Error("The engine ran out of memory or crashed and was started anew; choose a smaller window.");
      }
      throw error;
    }
  }

  /** Clouds and shadows of a scene, a class a pixel: 0 clear, 1 cloud, 2 shadow. */
  async detect(scene) {
    await this.start();
    return this.client.call("detect", { scene }, { transfer: [scene.image.buffer] });
  }

  /** A mask grown by a disc. */
  async grow(flags, width, height, px) {
    if (px <= 0) return flags;
    await this.start();
    return this.client.call("grow", { flags, width, height, px });
  }

  async attempt(job, options, { onUpdate, previews }) {
    await this.load();
    const input = await job();
    const transfer = [input.image.buffer, input.reference?.image.buffer].filter(Boolean);
    this.run = this.client.call("restore", { job: input, options, previews }, { onUpdate, transfer });
    try {
      return await this.run;
    } finally {
      this.run = undefined;
    }
  }

  /** Ends what is running: politely, then by ending the worker. */
  cancel() {
    const { run, client } = this;
    if (!run) return;
    client.worker.postMessage({ call: "abort", args: { id: run.id } });
    setTimeout(() => {
      if (this.run !== run) return;
      this.replace(Object.assign(new EngineGone("interrupted"), { kind: "interrupted", cancelled: true }));
      this.start().catch((error) => this.on.notice(error.message));
    }, PATIENCE_MS);
  }
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
