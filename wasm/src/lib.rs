//! The browser face: a session object over the core, and nothing of its own.
//!
//! `Session.create(engine) → load(checkpoint) → restore(window, options, …)`. It runs in a
//! worker; one page has one session. Everything is read back asynchronously, and between
//! batches the worker's event loop gets a turn, so that a wish to stop is heard.
//!
//! The crate is empty but for wasm32: there it is built with the profile `web`.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

mod detect;
mod failure;
mod input;
mod options;
mod outcome;
mod progress;
mod session;
mod stored;
mod turns;

pub use session::Session;
pub use stored::to_stored;
