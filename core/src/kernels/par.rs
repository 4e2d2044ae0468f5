//! Splitting work over the processors, and the scratch memory each of them keeps.

use core::cell::Cell;

/// A pointer into an output that tasks fill at disjoint places.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub *mut T);

// SAFETY: only a pointer to values that may go to other threads; every task writes a part of its
// own, which [`Shared::at`] makes its caller promise.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above: a shared pointer is used as one that was sent.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer `offset` elements on (a method, so that closures capture the whole struct).
    ///
    /// # Safety
    /// As [`pointer::add`]; and no two tasks write the same value.
    #[inline(always)]
    pub unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: the caller's.
        unsafe { self.0.add(offset) }
    }
}

/// Processors the tasks of [`for_each`] share.
pub(super) fn threads() -> usize {
    #[cfg(feature = "parallel")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "parallel"))]
    {
        1
    }
}

/// Calls `task(0..count)`, each once, in any order and on any processor.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "parallel")]
    if count > 1 && threads() > 1 {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        (0..count).into_par_iter().for_each(task);
        return;
    }
    (0..count).for_each(task);
}

/// `of(0..count)` in that order, computed in any order, `at_once` of them at the most: each may hold
/// much memory.
pub(crate) fn map<T: Send>(
    count: usize,
    at_once: usize,
    of: impl Fn(usize) -> T + Send + Sync,
) -> Vec<T> {
    #[cfg(feature = "parallel")]
    if count > 1 && threads() > 1 {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        let starts = (0..count).step_by(at_once.max(1));
        let part = |start: usize| -> Vec<T> {
            let end = count.min(start + at_once.max(1));
            (start..end).into_par_iter().map(&of).collect()
        };
        return starts.flat_map(part).collect();
    }
    let _ = at_once;
    (0..count).map(of).collect()
}

/// Lends the calling thread's scratch memory: at least `len` f32 of any content.
pub(crate) fn with_scratch<R>(len: usize, use_it: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    }
    SCRATCH.with(|cell| {
        // Taken out while in use: a task that is entered again just gets a fresh one.
        let mut scratch = cell.take();
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        let result = use_it(&mut scratch[..len]);
        cell.set(scratch);
        result
    })
}

/// A vector of `len` f32 that `fill` must write completely.
///
/// # Safety
/// `fill` writes every element before it returns.
pub(super) unsafe fn filled(len: usize, fill: impl FnOnce(*mut f32)) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    fill(out.as_mut_ptr());
    // SAFETY: capacity `len`, written by `fill`.
    unsafe { out.set_len(len) };
    out
}
