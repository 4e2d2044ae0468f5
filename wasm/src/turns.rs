//! Gives the worker's event loop a turn whenever the core lets go of the thread.
//!
//! A future that wakes itself is polled again by wasm-bindgen-futures within the same turn
//! (as a microtask): a message of the page would wait until the run is over.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, milliseconds: i32) -> JsValue;
}

/// Remembers that it was woken, and passes it on.
struct Note {
    woken: AtomicBool,
    outer: Waker,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.outer.wake_by_ref();
    }
}

/// Runs `work`; when it wakes itself, messages and timers go first.
pub async fn taking_turns<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    loop {
        match Step(work.as_mut()).await {
            Some(output) => return output,
            None => next_turn().await,
        }
    }
}

/// Ready with `Some` when the work is done, with `None` when it only asked for a turn.
struct Step<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for Step<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let note = Arc::new(Note {
            woken: AtomicBool::new(false),
            outer: context.waker().clone(),
        });
        let waker = Waker::from(note.clone());
        match self.0.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if note.woken.load(Ordering::Relaxed) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn next_turn() {
    let timer = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, 0);
    });
    // A timer is never rejected.
    let _ = JsFuture::from(timer).await;
}
