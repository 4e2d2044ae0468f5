//! Progress of one scene, through its survey and its filling, with the time left.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::time::Instant;

use unclouded_core::restore::{Eta, Progress};

use crate::gdal_io::format::Format;
use crate::interrupt;
use crate::progress::Reporter;

/// Shows how far the survey and the core are, and passes the user's wish to stop on to it.
pub(super) struct Bar<'a> {
    reporter: RefCell<&'a mut Reporter>,
    format: &'a Format,
    began: Instant,
    /// Seconds from there to the last window of the survey.
    surveying: Cell<f64>,
    eta: RefCell<Option<Eta>>,
}

impl<'a> Bar<'a> {
    /// Before the survey; `format` knows what storing will cost.
    pub fn new(reporter: &'a mut Reporter, format: &'a Format) -> Self {
        Bar {
            reporter: RefCell::new(reporter),
            format,
            began: Instant::now(),
            surveying: Cell::new(0.0),
            eta: RefCell::new(None),
        }
    }

    /// The scene was read down to here.
    pub fn surveyed(&self, row_end: usize) {
        if self.eta.borrow().is_none() {
            self.surveying.set(self.began.elapsed().as_secs_f64());
            self.reporter.borrow_mut().advance(row_end as u64);
        }
    }

    /// A report of the core; breaks off when the user wants to stop.
    pub fn follow(&self, progress: Progress) -> ControlFlow<()> {
        let mut reporter = self.reporter.borrow_mut();
        let mut eta = self.eta.borrow_mut();
        let eta = eta.get_or_insert_with(|| {
            reporter.stage("fill", progress.total as u64);
            let expected = self
                .format
                .expected(self.surveying.get(), progress.copied.total);
            Eta::new(expected)
        });
        eta.observe(self.began.elapsed().as_secs_f64(), progress);
        reporter.advance_by(progress.done as u64, eta.fraction(), eta.left());
        if interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
