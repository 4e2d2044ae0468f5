//! Rows that an earlier run left, and what a run is forecast to compute.

use super::*;

/// A sink that has some rows already.
pub(super) struct Resumed {
    pub memory: Memory,
    /// Rows of the scene that an earlier run finished.
    pub finished: usize,
}

impl SceneSink for Resumed {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        self.memory.write(rows)
    }
    fn recall(&mut self, rows: Window) -> Result<bool> {
        let there = rows.row_end() <= self.finished;
        if there {
            self.memory.next_row = rows.row_end();
        }
        Ok(there)
    }
}

#[test]
fn rows_that_are_there_are_not_computed_and_the_others_come_out_the_same() {
    let model = model(Conditioning::Guided);
    let mut scene = Memory::new(4, 150, 130);
    scene.mask = Mask::from_fn(150, 130, |r, c| {
        (20..125).contains(&r) && (15..110).contains(&c) || (r + 3 * c) % 97 < 4
    });
    // With overlaps of less and of more than half a tile.
    for (tile_px, overlap_px) in [(32, 8), (32, 20)] {
        let settings = RestoreSettings {
            tile_px,
            overlap_px,
            samples: 2,
            ..settings()
        };
        let (whole, all) = scene.run(&model, &settings).unwrap();
        let mut fewest = all.tiles;
        for finished in [0, 24, 77, 149, 150] {
            let mut sink = Resumed {
                memory: scene.copy(),
                finished,
            };
            let (mut last, mut total) = (0, 0);
            let summary = restore(&mut scene.copy(), &mut sink, &model, &settings, &mut |p| {
                (last, total) = (p.done, p.total);
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(last, total, "progress ends at its total");
            assert!(summary.tiles <= fewest);
            fewest = summary.tiles;
            for row in finished..150 {
                for band in 0..4 {
                    let line = |image: &Raster| -> Vec<u32> {
                        let line = &image.band(band)[row * 130..][..130];
                        line.iter().map(|value| value.to_bits()).collect()
                    };
                    assert_eq!(line(&sink.memory.out), line(&whole.out), "row {row}");
                    assert_eq!(line(&sink.memory.std), line(&whole.std), "row {row}");
                }
            }
        }
        assert_eq!(fewest, 0);
    }
}

#[test]
fn a_forecast_counts_the_tiles_of_the_run() {
    let model = model(Conditioning::Guided);
    let mut scene = Memory::new(3, 150, 130);
    scene.mask = Mask::from_fn(150, 130, |r, c| {
        (20..125).contains(&r) && (15..110).contains(&c)
    });
    let forecast = forecast(&mut scene.copy(), &model, &settings()).unwrap();
    let (_, summary) = scene.run(&model, &settings()).unwrap();
    assert_eq!(forecast.tiles, summary.tiles);
    assert!(forecast.coarse_tiles > 0 && forecast.tiles < forecast.tiles_of_scene);
    let mut total = 0;
    let run = &mut |progress: Progress| {
        total = progress.total;
        ControlFlow::Continue(())
    };
    restore(
        &mut scene.copy(),
        &mut scene.copy(),
        &model,
        &settings(),
        run,
    )
    .unwrap();
    let units = settings().samples * settings().steps;
    assert_eq!(total, (forecast.tiles + forecast.coarse_tiles) * units);
}
