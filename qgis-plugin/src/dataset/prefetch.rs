//! Prepares the next batches in threads while the network computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Threads that make the items of steps `first, first + 1, ...` and hand them out in order.
///
/// Thread `t` of `n` makes every `n`-th step into a bounded queue of its own, and the queues
/// are emptied in turn: order and contents do not depend on timing. Dropping it stops the
/// threads and waits for them.
pub struct Prefetch<T> {
    queues: Vec<Receiver<T>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    taken: usize,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` (at least 1) that each keep up to `ahead` (at least 1) items ready.
    /// `make(step)` must be a pure function of the step.
    pub fn start<F>(first: u64, threads: usize, ahead: usize, make: F) -> Self
    where
        F: Fn(u64) -> T + Send + Sync + 'static,
    {
        let (make, stop) = (Arc::new(make), Arc::new(AtomicBool::new(false)));
        let (mut queues, mut handles) = (Vec::new(), Vec::new());
        let threads = threads.max(1) as u64;
        for number in 0..threads {
            let (sender, receiver) = sync_channel(ahead.max(1));
            let (make, stop) = (Arc::clone(&make), Arc::clone(&stop));
            queues.push(receiver);
            handles.push(std::thread::spawn(move || {
                let mut step = first + number;
                // Sending fails when the receiver is gone: nobody wants more.
                while !stop.load(Ordering::Relaxed) && sender.send(make(step)).is_ok() {
                    step += threads;
                }
            }));
        }
        Self {
            queues,
            threads: handles,
            stop,
            taken: 0,
        }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    /// The next step's item; `None` only when `make` panicked.
    fn next(&mut self) -> Option<T> {
        let item = self.queues[self.taken % self.queues.len()].recv().ok()?;
        self.taken += 1;
        Some(item)
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Waiting senders wake up when their receiver goes.
        self.queues.clear();
        for thread in self.threads.drain(..) {
            // A panic has already been reported by its thread.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[test]
    fn in_order_whatever_the_timing() {
        for threads in [1, 2, 5] {
            let items = Prefetch::start(10, threads, 2, |step| {
                std::thread::sleep(Duration::from_micros(step * 7919 % 700));
                step
            });
            assert_eq!(
                items.take(50).collect::<Vec<_>>(),
                (10..60).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn bounded_and_gone_after_drop() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut items = Prefetch::start(0, 2, 3, move |_| counter.fetch_add(1, Ordering::SeqCst));
        assert!(items.next().is_some());
        std::thread::sleep(Duration::from_millis(50));
        // Per thread: three waiting, one in hand, and one that was taken.
        assert!(made.load(Ordering::SeqCst) <= 2 * 4 + 1);
        drop(items);
        assert_eq!(Arc::strong_count(&made), 1, "a thread is still there");
    }

    #[test]
    fn a_panic_ends_the_items() {
        let mut items = Prefetch::start(0, 1, 1, |step| assert!(step < 2, "on purpose"));
        assert!(items.next().is_some() && items.next().is_some());
        assert!(items.next().is_none());
    }
}
