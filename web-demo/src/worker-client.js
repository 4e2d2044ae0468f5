// Calls into a worker as promises; one message protocol for both workers.

import { received } from "./refusal.js";

/** A worker whose calls are answered by { id, result } or { id, error }. */
export class WorkerClient {
  /**
   * @param {Worker} worker
   * @param {(message: object) => void} [onMessage] messages that answer no call
   */
  constructor(worker, onMessage = () => {}) {
    this.worker = worker;
    this.waiting = new Map();
    this.next = 1;
    worker.onmessage = ({ data }) => this.answer(data, onMessage);
    worker.onerror = (event) => onMessage({ crashed: event.message ?? "the worker cannot be loaded" });
  }

  answer(data, onMessage) {
    const call = this.waiting.get(data.id);
    if (!call) {
      onMessage(data);
    } else if ("error" in data) {
      this.waiting.delete(data.id);
      call.reject(received(data.error));
    } else if ("result" in data) {
      this.waiting.delete(data.id);
      call.resolve(data.result);
    } else {
      call.onUpdate?.(data);
    }
  }

  /** Calls; `onUpdate` gets what comes before the result. The promise carries the call's id. */
  call(name, args = {}, { onUpdate, transfer = [] } = {}) {
    const id = this.next;
    this.next += 1;
    const promise = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onUpdate });
    });
    this.worker.postMessage({ id, call: name, args }, transfer);
    return Object.assign(promise, { id });
  }

  /** Ends the worker; every open call fails with `error`. */
  end(error) {
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
