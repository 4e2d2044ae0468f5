//! Tests of reading and validating recipes.

use unclouded_core::diffusion::loss::{Kind, Weighting};

use super::*;

const SMALL: &str =
    "[data]\nsources = ['tiles']\n[train]\nsteps = 10\n[output]\ndir = 'out'\nname = 'm'\n";

fn with(section: &str, line: &str) -> Result<TrainConfig> {
    let text = if SMALL.contains(section) {
        SMALL.replace(section, &format!("{section}\n{line}"))
    } else {
        format!("{SMALL}{section}\n{line}\n")
    };
    TrainConfig::parse(&text, Path::new("base"))
}

#[test]
fn defaults_and_relative_paths() {
    let config = with("[masks]", "files = ['m.npy', '/abs/n.npy']").unwrap();
    assert_eq!(config.data.sources, [PathBuf::from("base/tiles")]);
    assert_eq!(
        config.masks.files,
        [PathBuf::from("base/m.npy"), PathBuf::from("/abs/n.npy")]
    );
    assert_eq!(config.output.dir, PathBuf::from("base/out"));
    assert_eq!((config.data.tile_px, config.train.batch), (64, 16));
}

#[test]
fn each_mistake_is_named() {
    for (section, line, named) in [
        ("[data]", "bands = [0, 1]", "bands"),
        ("[data]", "tile_px = 3", "tile_px"),
        ("[data]", "validate_every = 1", "validate_every"),
        ("[data]", "validate_remainder = 10", "validate_remainder"),
        ("[data]", "exclude_remainders = [1]", "exclude_remainders"),
        (
            "[data]",
            "exclude_remainders = [0,2,3,4,5,6,7,8,9]",
            "exclude_remainders",
        ),
        ("[data]", "limit = 0", "limit"),
        ("[data]", "sorces = 1", "sorces"),
        ("[masks]", "min_cover = 0.95", "min_cover"),
        ("[masks]", "max_cover = 1.0", "max_cover"),
        ("[masks]", "noise_fraction = nan", "noise_fraction"),
        ("[augment]", "band_mix = 1.5", "band_mix"),
        (
            "[augment]",
            "band_mix = 0.6\nband_repeat = 0.6",
            "band_repeat",
        ),
        ("[diffusion]", "objective = 'hybrid'", "objective"),
        (
            "[diffusion]",
            "weighting = { min-snr = { gamma = 0.0 } }",
            "weighting",
        ),
        (
            "[diffusion]",
            "schedule = { name = 'cosine', timesteps = 0 }",
            "timesteps",
        ),
        (
            "[diffusion]",
            "prediction = 'eps'\nschedule = { name = 'zero-terminal-snr', base = 'linear' }",
            "prediction",
        ),
        ("[train]", "learning_rate = 0.0", "learning_rate"),
        ("[train]", "min_learning_rate = 0.5", "min_learning_rate"),
        ("[train]", "ema_decay = 1.0", "ema_decay"),
        ("[train]", "batch = 0", "batch"),
        ("[train]", "colour = 1", "colour"),
        ("[task]", "name = 'sharpening'", "sharpening"),
        ("[task]", "name = 'super-resolution'\nfactor = 1", "factor"),
        (
            "[model]",
            "base_channels = 32\nmultipliers = [1]\nblocks_per_level = 1\nclasses = 10",
            "classes",
        ),
        ("[diffusion]", "class_drop = 2.0", "class_drop"),
        (
            "[diffusion]",
            "conditioning = 'none'\n[task]\nname = 'colourisation'",
            "task",
        ),
    ] {
        let error = with(section, line).unwrap_err();
        assert!(error.to_string().contains(named), "{line}: {error}");
        assert!(error.hint.is_some());
    }
    assert!(TrainConfig::parse("what", Path::new("")).is_err());
}

#[test]
fn missing_sources_are_found_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, SMALL).unwrap();
    let error = TrainConfig::load(&recipe).unwrap_err();
    assert!(
        error.message.contains("tiles")
            && error
                .hint
                .as_deref()
                .unwrap_or_default()
                .contains("relative")
    );
    std::fs::create_dir(folder.path().join("tiles")).unwrap();
    assert!(TrainConfig::load(&recipe).is_ok());
    assert!(TrainConfig::load(&folder.path().join("none.toml")).is_err());
}

#[test]
fn the_task_is_chosen_in_the_recipe() {
    assert_eq!(with("[masks]", "").unwrap().task, Task::CloudRemoval);
    for (line, task) in [
        ("name = 'cloud-removal'", Task::CloudRemoval),
        ("name = 'uncropping'", Task::Uncropping),
        ("name = 'colourisation'", Task::Colourisation),
        (
            "name = 'super-resolution'\nfactor = 4",
            Task::SuperResolution { factor: 4 },
        ),
    ] {
        assert_eq!(with("[task]", line).unwrap().task, task);
    }
}

#[test]
fn cold_diffusion_sees_no_noise() {
    let task = |kind: &str, steps: usize| {
        format!("name = 'cold-diffusion'\ndegradation = '{kind}'\nsteps = {steps}\n[diffusion]\n")
    };
    let sound = "conditioning = 'none'\nprediction = 'x0'";
    for (text, word) in [
        (task("mask", 8) + sound, None),
        (task("downsample", 3) + sound, None),
        (task("downsample", 7) + sound, Some("steps")),
        (task("smoke", 8) + sound, Some("smoke")),
        (task("blur", 8) + "prediction = 'x0'", Some("conditioning")),
        (
            task("blur", 8) + "conditioning = 'none'",
            Some("prediction"),
        ),
        (task("downsample", 6) + sound, None),
    ] {
        match (with("[task]", &text), word) {
            (Ok(config), None) => assert!(config.task.cold().is_some()),
            (Err(error), Some(word)) => assert!(error.message.contains(word), "{error:?}"),
            (other, _) => panic!("{text}: {:?}", other.map(|config| config.task)),
        }
    }
}

#[test]
fn a_learned_variance_needs_its_objective() {
    let network = "[model]\nbase_channels = 32\nmultipliers = [1, 2]\nblocks_per_level = 1";
    let recipe = |objective: &str, schedule: &str| {
        let diffusion = format!(
            "objective = '{objective}'\nprediction = 'eps'\nschedule = {{ name = '{schedule}' }}"
        );
        with(
            "[diffusion]",
            &format!("{diffusion}\n{network}\nlearned_variance = true"),
        )
    };
    let config = recipe("hybrid", "cosine").unwrap();
    assert_eq!(config.diffusion.objective().kind, Kind::Hybrid);
    assert!(recipe("simple", "cosine").is_err());
    assert!(recipe("vlb", "karras").is_err());
    let weighted = with(
        "[diffusion]",
        "weighting = { score-matching = { power = 2.0 } }",
    );
    let weighting = weighted.unwrap().diffusion.weighting;
    assert_eq!(weighting, Weighting::ScoreMatching { power: 2.0 });
}
