//! The time that is said to be left, against a simulated machine of constant speed.

use std::cell::Cell;

use super::*;

/// What a simulated machine takes, in seconds.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// To read a pixel.
    read_px: f64,
    /// To fill a pixel of a tile and its surroundings smoothly.
    fill_px: f64,
    /// For a sampler step, for each pixel of a tile.
    step_px: f64,
    /// To take a pixel of finished rows.
    write_px: f64,
    /// To close and compare, after the last row.
    after: f64,
}

/// A scene in memory whose reading and writing take time.
struct Timed<'a> {
    memory: Memory,
    machine: Machine,
    clock: &'a Cell<f64>,
}

fn pass(clock: &Cell<f64>, seconds: f64) {
    clock.set(clock.get() + seconds);
}

impl SceneSource for Timed<'_> {
    fn size(&self) -> (usize, usize) {
        self.memory.size()
    }
    fn bands(&self) -> usize {
        self.memory.bands()
    }
    fn read(&mut self, window: Window) -> Result<SceneWindow> {
        pass(self.clock, self.machine.read_px * window.pixels() as f64);
        self.memory.read(window)
    }
}

impl SceneSink for Timed<'_> {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        pass(
            self.clock,
            self.machine.write_px * rows.window.pixels() as f64,
        );
        self.memory.write(rows)
    }
}

/// 480 x 400 pixels: a wide cloud near the top, small ones here and there, and a clear lower half
/// or clouds in the lower half only.
fn scene(upside_down: bool) -> Memory {
    let mut scene = Memory::new(3, 480, 400);
    scene.mask = Mask::from_fn(480, 400, |row, col| {
        let row = if upside_down { 479 - row } else { row };
        let near =
            |r: i32, c: i32, px: i32| (row as i32 - r).pow(2) + (col as i32 - c).pow(2) < px.pow(2);
        near(60, 120, 45) || near(20, 300, 6) || near(130, 350, 9) || near(210, 40, 12)
    });
    scene.valid = Mask::new(480, 400, true);
    scene
}

/// What was said to be left, and what was, at the first report past a share of the time.
fn told(scene: &Memory, machine: Machine, guess: f64, shares: &[f64]) -> Vec<(f64, f64)> {
    let model = model(Conditioning::Guided);
    let clock = Cell::new(0.0);
    let timed = || Timed {
        memory: scene.copy(),
        machine,
        clock: &clock,
    };
    let expected = Expected {
        copied_px: guess * (machine.write_px + machine.read_px) / 2.0,
        after: guess * machine.after,
    };
    let (mut eta, mut before) = (Eta::new(expected), Progress::default());
    let mut reports = Vec::new();
    let (mut source, mut sink) = (timed(), timed());
    restore(&mut source, &mut sink, &model, &settings(), &mut |at| {
        let more = |after: Share, before: Share| (after.done - before.done) as f64;
        // Its surroundings are several times as large as a tile.
        pass(&clock, machine.fill_px * 9.0 * more(at.read, before.read));
        pass(&clock, machine.step_px * more(at.sampled, before.sampled));
        before = at;
        eta.observe(clock.get(), at);
        reports.push((clock.get(), eta.left(), eta.fraction()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(reports.windows(2).all(|pair| pair[0].2 <= pair[1].2));
    assert_eq!(reports.last().unwrap().2, 1.0);
    let (began, end) = (reports[0].0, clock.get() + machine.after);
    let past = |share: &f64| {
        let at = began + share * (end - began);
        let (now, left, _) = reports.iter().find(|(now, _, _)| *now >= at).unwrap();
        (left.expect("known by then"), end - now)
    };
    shares.iter().map(past).collect()
}

#[test]
fn the_time_left_is_right_after_a_twentieth_of_the_work() {
    // The network takes nearly all, or a step half of what writing takes.
    for (step_px, write_px) in [(1e-5, 1e-8), (1e-6, 2e-6)] {
        let machine = Machine {
            read_px: 0.2 * write_px,
            fill_px: 0.01 * step_px,
            step_px,
            write_px,
            after: 0.6 * write_px * (480.0 * 400.0),
        };
        for upside_down in [false, true] {
            let told = told(&scene(upside_down), machine, 1.25, &[0.05, 0.1, 0.25, 0.5]);
            for (left, truth) in told {
                assert!(
                    (left / truth - 1.0).abs() < 0.25,
                    "{machine:?}, upside down: {upside_down}: {left:.3} s of {truth:.3} s"
                );
            }
        }
    }
}

#[test]
fn nothing_is_said_before_the_network_was_timed() {
    let mut eta = Eta::new(Expected {
        copied_px: 1.0,
        after: 5.0,
    });
    let share = |done, total| Share { done, total };
    let begin = Progress {
        done: 0,
        total: 4,
        read: share(0, 10),
        sampled: share(0, 40),
        textured: share(0, 0),
        texturing: false,
        copied: share(0, 100),
    };
    eta.observe(3.0, begin);
    assert_eq!(eta.left(), None);
    let read = Progress {
        read: share(10, 10),
        ..begin
    };
    eta.observe(4.0, read);
    assert_eq!((eta.left(), eta.fraction()), (None, 0.0));
    let sampled = Progress {
        sampled: share(20, 40),
        ..read
    };
    eta.observe(6.0, sampled);
    assert_eq!(eta.left(), Some(2.0 + 100.0 + 5.0));
    let copied = Progress {
        copied: share(50, 100),
        ..sampled
    };
    eta.observe(11.0, copied);
    assert_eq!(eta.left(), Some(2.0 + 5.0 + 5.0));
    assert_eq!(eta.fraction(), 8.0 / 15.0);
}
