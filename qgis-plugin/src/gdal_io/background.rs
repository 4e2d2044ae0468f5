//! Rows are stored while the next ones are computed: a thread that owns the output files and a
//! handle of the scene of its own.
//!
//! At most one band of rows waits, since the next is not taken before the last is stored; what is
//! stored, and in which order, is the same as without.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use unclouded_core::Error;
use unclouded_core::raster::Window;
use unclouded_core::restore::{FilledRows, SceneSink};

use super::journal::Journal;
use super::mask::MaskReader;
use super::scene::Scene;
use super::sink::{GdalSink, Targets, Written};
use super::writer::Tag;
use crate::failure::{Failure, Result};

/// What the thread needs.
pub struct Files<'a> {
    /// Opens the scene again. In the thread that uses it, as a VRT shares what it opens among the
    /// handles of one thread.
    pub open: &'a (dyn Fn() -> Result<Scene> + Sync),
    /// See [`GdalSink::create`].
    pub targets: Targets<'a>,
    /// See [`GdalSink::create`].
    pub tags: &'a [Tag],
    /// See [`GdalSink::with_mask`].
    pub mask: &'a MaskReader,
    /// See [`GdalSink::with_journal`].
    pub journal: &'a mut Journal,
}

enum Order {
    Recall(Window, SyncSender<Result<bool>>),
    Write(Box<FilledRows>),
    Finish,
}

/// Hands rows to the thread.
pub struct Background<'scope> {
    orders: SyncSender<Order>,
    thread: ScopedJoinHandle<'scope, Result<Option<Written>>>,
}

impl<'scope> Background<'scope> {
    /// Creates the files and waits for rows.
    ///
    /// # Errors
    /// Exit 1 if there can be no thread. What goes wrong in it comes from
    /// [`Background::finish`].
    pub fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        files: Files<'env>,
    ) -> Result<Self> {
        let (orders, received) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn_scoped(scope, move || store(files, &received))
            .map_err(|error| Failure::failed(format!("cannot write in parallel: {error}")))?;
        Ok(Background { orders, thread })
    }

    /// The files after the last row, or what was wrong with them; `outcome` is that of the run.
    ///
    /// # Errors
    /// That of the files, which is the reason why the run failed where both did; else that of the
    /// run.
    pub fn finish<T>(self, outcome: Result<T>) -> Result<(T, Written)> {
        let Background { orders, thread } = self;
        if outcome.is_ok() {
            // A thread that is gone says why below.
            let _ = orders.send(Order::Finish);
        }
        drop(orders);
        let stored = match thread.join() {
            Ok(stored) => stored,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (stored?, outcome?) {
            (Some(written), outcome) => Ok((outcome, written)),
            (None, _) => Err(gone()),
        }
    }

    fn order(&self, order: Order) -> unclouded_core::Result<()> {
        self.orders.send(order).map_err(|_| Error::from(gone()))
    }
}

/// The thread ended before its time; its own failure is the one to be told.
fn gone() -> Failure {
    Failure::failed("the rows cannot be stored any more")
}

fn store(files: Files, orders: &Receiver<Order>) -> Result<Option<Written>> {
    let scene = (files.open)()?;
    let mut sink = GdalSink::create(&scene, &files.targets, files.tags)?
        .with_mask(files.mask)
        .with_journal(Some(files.journal));
    for order in orders {
        match order {
            Order::Recall(rows, answer) => {
                // Nobody waits for it if the run broke off.
                let _ = answer.send(sink.recall(rows).map_err(Failure::from));
            }
            Order::Write(rows) => sink.write(*rows)?,
            Order::Finish => return sink.finish().map(Some),
        }
    }
    Ok(None)
}

impl SceneSink for Background<'_> {
    fn write(&mut self, rows: FilledRows) -> unclouded_core::Result<()> {
        self.order(Order::Write(Box::new(rows)))
    }

    fn recall(&mut self, rows: Window) -> unclouded_core::Result<bool> {
        let (answer, answered) = sync_channel(1);
        self.order(Order::Recall(rows, answer))?;
        let recalled = answered.recv().map_err(|_| Error::from(gone()))?;
        Ok(recalled?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use unclouded_core::raster::{Mask, Raster};

    use super::*;
    use crate::failure::Exit;
    use crate::gdal_io::format::Format;

    fn rows() -> FilledRows {
        FilledRows {
            window: Window::full(4, 5),
            image: Raster::new(1, 4, 5),
            std: None,
            filled: Mask::new(4, 5, false),
            valid: Mask::new(4, 5, true),
        }
    }

    /// The run goes on until it hears that its rows are not stored; then it ends with the reason.
    #[test]
    fn why_rows_cannot_be_stored_is_what_the_run_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out.tif");
        let (mut journal, _) = Journal::open(&[&target], &[1; 32], false).expect("a journal");
        let mask = MaskReader::nothing(4, 5);
        let open = || Scene::open(Path::new("/no/such/scene.tif"), "scene");
        let files = Files {
            open: &open,
            targets: Targets {
                scene: &target,
                uncertainty: None,
                provenance: None,
                overwrite: false,
                format: Format::default(),
                max_uncertainty: None,
            },
            tags: &[],
            mask: &mask,
            journal: &mut journal,
        };
        let failure = std::thread::scope(|scope| {
            let mut sink = Background::start(scope, files).expect("a thread");
            let outcome = (0..3).try_for_each(|_| sink.write(rows()));
            assert!(outcome.is_err(), "rows vanished");
            sink.finish(outcome.map_err(Failure::from))
        })
        .expect_err("nothing was stored");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.contains("/no/such/scene.tif"),
            "{}",
            failure.message
        );
    }
}
