//! What a face that watches sees of a run.

use super::*;

/// A sink that watches.
struct Watched {
    memory: Memory,
    previews: Vec<StepPreview>,
}

impl SceneSink for Watched {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        self.memory.write(rows)
    }
    fn wants_previews(&self) -> bool {
        true
    }
    fn preview(&mut self, preview: StepPreview) {
        self.previews.push(preview);
    }
}

#[test]
fn previews_lead_to_the_result_and_do_not_change_it() {
    for conditioning in [Conditioning::Concat, Conditioning::None] {
        let model = model(conditioning);
        let mut scene = Memory::new(4, 16, 16);
        scene.valid = Mask::new(16, 16, true);
        let settings = RestoreSettings {
            samples: 1,
            model_bands: vec![2, 1, 2],
            ..settings()
        };
        let (unwatched, _) = scene.run(&model, &settings).unwrap();
        let mut sink = Watched {
            memory: scene.copy(),
            previews: Vec::new(),
        };
        let go = &mut |_| ControlFlow::Continue(());
        restore(&mut scene.copy(), &mut sink, &model, &settings, go).unwrap();
        assert_eq!(sink.memory.out, unwatched.out);
        let steps: Vec<_> = sink.previews.iter().map(|p| (p.step, p.steps)).collect();
        assert_eq!(steps, [(0, 2), (1, 2)]);
        // One tile, one member: what the last step believes is the fill, but for the clipping.
        let last = &sink.previews[1];
        assert_eq!(last.bands, [2, 1]);
        assert_eq!(last.window, Window::full(16, 16));
        for (i, &band) in last.bands.iter().enumerate() {
            let (low, high) = visible_range(&scene, band);
            for (at, believed) in last.image.band(i).iter().enumerate() {
                if scene.mask.data[at] {
                    let filled = unwatched.out.band(band)[at];
                    let believed = believed.clamp(low, high);
                    assert!((filled - believed).abs() < 0.05, "{filled} {believed}");
                }
            }
        }
    }
}
