//! Lets go of the thread between batches, so that a page can hear a wish to stop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pending once, ready the next time; natively that is at once.
pub(super) struct Pause(bool);

impl Pause {
    pub fn new() -> Self {
        Pause(false)
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_pending_exactly_once() {
        let mut pause = Pause::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut pause).poll(&mut context).is_pending());
        assert!(Pin::new(&mut pause).poll(&mut context).is_ready());
    }
}
