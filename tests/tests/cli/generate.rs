//! `generate`: images from checkpoints and diffusers folders, the same for the same seed.

use std::path::Path;

use gdal::{Dataset, Metadata};
use serde_json::json;
use unclouded_core::network::unet::UNetConfig;

use crate::fixtures::{Spec, read};
use crate::models::{card, checkpoint, diffusers, small, state_dict};
use crate::run::{Bench, Run, unclouded};

fn generate(model: &Path, output: &Path, more: &[&str]) -> Run {
    let mut command = unclouded();
    command.arg("generate").arg(model).arg("-o").arg(output);
    command.args(["--device", "cpu"]).args(more);
    Run::from(command.output().unwrap())
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_same_seed_gives_the_same_images_whatever_count_and_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = checkpoint(path("m.safetensors"), &card(small()));
    let seven = [
        "--seed",
        "7",
        "--format",
        "tif",
        "--class",
        "1",
        "--guidance",
        "2",
    ];
    generate(
        &model,
        &path("three"),
        &[&seven[..], &["--count", "3", "--batch", "3"]].concat(),
    )
    .ok();
    generate(
        &model,
        &path("two"),
        &[&seven[..], &["--count", "2", "--batch", "1"]].concat(),
    )
    .ok();
    for name in ["0000.tif", "0001.tif"] {
        assert_eq!(
            read(&path("three").join(name)),
            read(&path("two").join(name)),
            "{name}"
        );
    }
    assert!(path("three/0002.tif").exists() && !path("two/0002.tif").exists());
    assert_ne!(read(&path("two/0000.tif")), read(&path("two/0001.tif")));

    // A grid is PNG, byte for byte the same again, another one for another seed or class.
    let grid = |name: &str, more: &[&str]| {
        generate(&model, &path(name), &[&["--count", "4"], more].concat()).ok();
        bytes(&path(name))
    };
    let first = grid("a.png", &["--seed", "7"]);
    assert_eq!(first, grid("b.png", &["--seed", "7"]));
    assert_ne!(first, grid("c.png", &["--seed", "8"]));
    assert_ne!(first, grid("d.png", &["--seed", "7", "--class", "2"]));
    let size = Dataset::open(path("a.png")).unwrap().raster_size();
    assert_eq!(size, (2 * 16 + 2, 2 * 16 + 2));

    // Nothing is replaced unasked, and nothing half-done stays.
    generate(&model, &path("a.png"), &[]).refused(&["exists", "--overwrite"]);
    assert_eq!(bytes(&path("a.png")), first);
    let left = std::fs::read_dir(folder.path()).unwrap();
    assert!(
        left.flatten()
            .all(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn a_geotiff_lies_where_the_scene_does_and_says_that_it_is_invented() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scene = Spec::new().size(40, 40).write(path("scene.tif"));
    let model = checkpoint(path("m.safetensors"), &card(small()));
    let like = ["--like", scene.to_str().unwrap(), "--size", "18x30"];
    generate(&model, &path("out.tif"), &like).ok();

    let (made, scene) = (
        Dataset::open(path("out.tif")).unwrap(),
        Dataset::open(&scene).unwrap(),
    );
    assert_eq!(made.raster_size(), (30, 18));
    assert_eq!(
        made.geo_transform().unwrap(),
        scene.geo_transform().unwrap()
    );
    let crs = |dataset: &Dataset| dataset.spatial_ref().unwrap().auth_code().unwrap();
    assert_eq!(crs(&made), crs(&scene));
    let kind = |dataset: &Dataset| dataset.rasterband(1).unwrap().band_type();
    assert_eq!(kind(&made), kind(&scene));
    assert_eq!(made.rasterband(2).unwrap().description().unwrap(), "B1");
    for (key, value) in [
        ("CONTENT", "generated: no pixel was observed"),
        ("CHECKPOINT", "small"),
        ("SEED", "0"),
        ("STEPS", "3"),
        ("IMAGE", "0"),
    ] {
        let tag = made.metadata_item(&format!("UNCLOUDED_{key}"), "");
        assert_eq!(tag.as_deref(), Some(value), "{key}");
    }
    // The brightness of the scene's corner.
    let mean = |planes: Vec<Vec<f64>>| planes.concat().iter().sum::<f64>() / (3.0 * 540.0);
    let made = mean(read(&path("out.tif")));
    assert!((200.0..6000.0).contains(&made), "{made}");

    let picture = Dataset::open({
        generate(&model, &path("p.png"), &[]).ok();
        path("p.png")
    });
    let tag = picture.unwrap().metadata_item("UNCLOUDED_CONTENT", "");
    assert!(tag.is_some_and(|text| text.contains("generated")));
}

#[test]
fn an_image_to_start_from_is_kept_the_more_the_smaller_the_strength() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scene = Spec::new().size(32, 16).bands(1).nodata();
    let scene = scene.write(path("scene.tif"));
    let one_band = UNetConfig {
        bands: 1,
        ..small()
    };
    let model = checkpoint(path("m.safetensors"), &card(one_band));
    let original = read(&scene).concat();
    let distance = |name: &str, strength: &str| {
        let how = ["--init", scene.to_str().unwrap(), "--strength", strength];
        generate(
            &model,
            &path(name),
            &[&how[..], &["--steps", "40"]].concat(),
        )
        .ok();
        let made = read(&path(name)).concat();
        assert_eq!(made.len(), original.len());
        // Where the scene has no data there is nothing to compare with.
        let pairs = made.iter().zip(&original).filter(|(_, was)| **was != 0.0);
        pairs.map(|(made, was)| (made - was).abs()).sum::<f64>()
    };
    let (near, far) = (distance("near.tif", "0.05"), distance("far.tif", "1"));
    assert!(near * 2.0 < far, "{near} {far}");
    let how = ["--init", scene.to_str().unwrap(), "--strength", "1.5"];
    generate(&model, &path("no.tif"), &how).refused(&["strength", "1.5"]);
}

#[test]
fn a_diffusers_folder_is_sampled_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = diffusers(path("ddpm"), "ddpm", |_| {});
    generate(
        &model,
        &path("a.png"),
        &["--steps", "4", "--sampler", "ddim"],
    )
    .ok();
    let dataset = Dataset::open(path("a.png")).unwrap();
    assert_eq!(
        (dataset.raster_size(), dataset.raster_count()),
        ((16, 16), 3)
    );

    // The moving average comes first, and the run says so.
    let run = {
        std::fs::rename(model.join("unet"), model.join("unet_ema")).unwrap();
        diffusers(path("ddpm"), "ddpm", |_| {});
        generate(
            &model,
            &path("b.png"),
            &["--steps", "4", "--sampler", "ddim"],
        )
        .ok()
    };
    assert!(run.stderr.contains("unet_ema"), "{run:#?}");
    assert_eq!(bytes(&path("a.png")), bytes(&path("b.png")));

    // A vector for a network that takes one.
    let model = diffusers(path("placed"), "ddpm", |config| {
        config["class_embed_type"] = json!("identity");
    });
    generate(&model, &path("c.png"), &["--steps", "4"]).refused(&["--embedding", "32"]);
    let npy = |name: &str, value: f32| {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (32,), }";
        let header = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend([value; 32].iter().flat_map(|v| v.to_le_bytes()));
        std::fs::write(path(name), bytes).unwrap();
        path(name).to_str().unwrap().to_owned()
    };
    let made = |name: &str, vector: &str| {
        let how = ["--steps", "4", "--sampler", "ddim", "--embedding", vector];
        generate(&model, &path(name), &how).ok();
        read(&path(name))
    };
    let (zero, one) = (npy("0.npy", 0.0), npy("1.npy", 1.0));
    let plain = made("zero.png", &zero);
    assert_eq!(plain, read(&path("a.png")));
    assert_ne!(plain, made("one.png", &one));
}

#[test]
fn what_cannot_be_generated_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let out = path("out.png");
    generate(Path::new("eurosat-rgb"), &out, &[]).refused(&["eurosat-rgb", "unclouded restore"]);
    generate(Path::new("nowhere"), &out, &[]).refused(&["nowhere"]);

    let model = checkpoint(path("m.safetensors"), &card(small()));
    generate(&model, &out, &["--class", "4"]).refused(&["--class", "0 to 3"]);
    generate(&model, &out, &["--class", "Forest"]).refused(&["--class", "numbers only"]);
    let guided = ["--class", "1", "--guidance", "2", "--null-class", "4"];
    generate(&model, &out, &guided).refused(&["--null-class", "got 4"]);
    generate(&model, &out, &["--count", "0"]).refused(&["--count"]);
    generate(&model, &out, &["--steps", "0"]).refused(&["steps"]);
    generate(&model, &path("out.jpg"), &[]).refused(&[".png"]);
    generate(&model, &path("out.tif"), &["--count", "2"]).refused(&["folder"]);
    generate(&model, &out, &["--embedding", "v.npy"]).refused(&["--embedding"]);
    let four = UNetConfig {
        bands: 4,
        classes: None,
        ..small()
    };
    let four = checkpoint(path("four.safetensors"), &card(four));
    generate(&four, &out, &[]).refused(&["4 bands", "tif"]);
    generate(&four, &out, &["--class", "1"]).refused(&["without classes"]);

    // Four channels in, two out: the other two would be a conditioning.
    let model = diffusers(path("wide"), "scale_shift", |_| {});
    generate(&model, &out, &["--class", "1"]).refused(&["4 channels in and 2 out"]);
    let model = diffusers(path("mish"), "ddpm", |config| {
        config["act_fn"] = json!("mish")
    });
    generate(&model, &out, &[]).refused(&["act_fn", "silu", "mish"]);
    let fourier = diffusers(path("fourier"), "fourier", |config| {
        config["class_embed_type"] = json!(null);
    });
    generate(&fourier, &out, &[]).refused(&["time_embedding_type", "fourier"]);
    let learned = diffusers(path("learned"), "learned", |_| {});
    generate(&learned, &out, &[]).refused(&["num_train_timesteps", "40", "1000"]);
    let classes = |config: &mut serde_json::Value| config["class_embed_type"] = json!("timestep");
    let model = diffusers(path("classes"), "ddpm", classes);
    generate(&model, &out, &[]).refused(&["class_embedding", "none"]);

    let weights = path("mish/unet/diffusion_pytorch_model.safetensors");
    std::fs::rename(&weights, weights.with_extension("bin")).unwrap();
    generate(&path("mish"), &out, &[]).refused(&["pickle", "save_pretrained"]);
    assert!(!out.exists());
}

#[test]
fn a_state_dict_of_guided_diffusion_makes_the_images_its_diffusers_folder_makes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = state_dict(path("adm.safetensors"), "adm", true);
    let how = [
        "--class",
        "4",
        "--seed",
        "3",
        "--guidance",
        "1",
        "--null-class",
        "0",
    ];
    let made = generate(&model, &path("a.tif"), &how).ok();
    // Its own flags: a run of 6 steps that takes its variance from the network.
    assert!(made.stderr.contains("ddpm in 6 steps"), "{}", made.stderr);
    let convert = |output: &str| {
        let mut command = unclouded();
        command.arg("convert").arg(&model).arg(path(output));
        Run::from(command.output().unwrap())
    };
    convert("folder").ok();
    convert("m.onnx").refused(&["folder", "guided-diffusion"]);
    let steps = ["--steps", "6"];
    generate(
        &path("folder"),
        &path("b.tif"),
        &[&how[..], &steps].concat(),
    )
    .ok();
    let (a, b) = (read(&path("a.tif")), read(&path("b.tif")));
    assert_eq!(a, b);
    assert_eq!((a.len(), a[0].len()), (1, 256));
    assert!(a[0].iter().any(|v| *v < 100.0) && a[0].iter().any(|v| *v > 155.0));

    // The flags say what the arrays do not.
    let bare = state_dict(path("bare.safetensors"), "adm", false);
    generate(&bare, &path("c.tif"), &how).refused(&["flags", "JSON", "num_heads"]);
    std::fs::write(path("bare.json"), "{}").unwrap();
    let made = generate(&bare, &path("c.tif"), &[&how[..], &steps].concat()).ok();
    assert!(
        made.stderr.contains("num_heads is taken as 4"),
        "{}",
        made.stderr
    );
    assert_ne!(read(&path("c.tif")), a);
    // It makes images of a class, which no scene has.
    let bench = Bench::new(&Spec::new().size(32, 32));
    let filled = bench.restored("r.tif", &["--model", model.to_str().unwrap()]);
    filled.refused(&["neither a class nor a vector", "unclouded generate"]);
}

#[test]
fn a_pickle_is_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("m.pt", &b"PK\x03\x04rest"[..]), ("m.bin", b"\x80\x02}q")] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let refused = generate(&path, &folder.path().join("a.png"), &[]);
        refused.refused(&["pickle", "save_file", "weights_only=True", "m.safetensors"]);
    }
}
