//! Classes by folders, and the masks of uncropping.

use unclouded_core::model::task::Task;

use super::*;

#[test]
fn folders_are_classes_that_are_told_nine_times_of_ten() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 40, 16);
    let config = DataConfig {
        class_folders: true,
        ..config(dir.path())
    };
    let tiles = Arc::new(Tiles::load(&config).unwrap());
    assert_eq!(tiles.classes(), ["Forest", "River"]);
    let builder = |drop| {
        let (augment, hints) = (AugmentConfig::default(), HintConfig::default());
        BatchBuilder::new(Arc::clone(&tiles), noise_only(), augment, hints, 3, 8)
            .with_class_drop(drop)
    };
    let told = |drop| -> Vec<_> {
        let batches = (0..100).flat_map(|step| builder(drop).train(step).examples);
        batches.map(|e| (e.tile, e.class.unwrap())).collect()
    };
    for (tile, class) in told(0.0) {
        let folder = ["Forest", "River"][class as usize];
        assert!(
            tiles.name(tile).contains(folder),
            "{} {class}",
            tiles.name(tile)
        );
    }
    let dropped = told(0.1).iter().filter(|(_, class)| *class == -1).count();
    assert!((50..110).contains(&dropped), "{dropped} of 800");
    // Validation is always told.
    let examples = builder(1.0).validation(0, 4, 4).examples;
    assert!(
        examples
            .iter()
            .all(|e| e.class.is_some_and(|class| class >= 0))
    );
    // Without classes none is told, and one folder is none.
    let plain = Tiles::load(&DataConfig {
        class_folders: false,
        ..config.clone()
    })
    .unwrap();
    assert_eq!((plain.classes().len(), plain.class(0)), (0, None));
    let one = DataConfig {
        sources: vec![dir.path().join("River")],
        ..config
    };
    let failure = Tiles::load(&one).unwrap_err();
    assert!(failure.message.contains("class_folders"), "{failure:?}");
}

#[test]
fn uncropping_hides_all_but_a_rectangle() {
    let config = MaskConfig {
        min_cover: 0.2,
        max_cover: 0.8,
        ..MaskConfig::default()
    };
    let pool = MaskPool::load(&config).unwrap().for_task(Task::Uncropping);
    let mut rng = Rng::new(4);
    let mut seen = HashSet::new();
    for _ in 0..300 {
        let mask = pool.draw(&mut rng, 32);
        let visible: Vec<(usize, usize)> = (0..32 * 32)
            .filter(|i| !mask.data[*i])
            .map(|i| (i / 32, i % 32))
            .collect();
        let span = |of: fn(&(usize, usize)) -> usize| {
            let (low, high) = (visible.iter().map(of).min(), visible.iter().map(of).max());
            high.unwrap() - low.unwrap() + 1
        };
        assert_eq!(visible.len(), span(|p| p.0) * span(|p| p.1), "a rectangle");
        let cover = 1.0 - visible.len() as f32 / 1024.0;
        assert!((0.15..0.85).contains(&cover), "{cover}");
        seen.insert(mask.data);
    }
    assert!(seen.len() > 250);
}
