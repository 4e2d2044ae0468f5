//! The GPU path is real: software Vulkan restores a small scene like the CPU does.

use std::io::Write;

use crate::fixtures::{Spec, Type, cloud, max_difference, read};
use crate::run::{Bench, Run, unclouded};

/// Whether a Vulkan driver, in hardware or software, is installed.
fn vulkan_driver() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "json")))
}

/// Says aloud that a test did not run: the test harness does not capture this.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

#[test]
fn gpu_agrees_with_cpu() {
    if !cfg!(feature = "gpu") || !vulkan_driver() {
        skipped("gpu_agrees_with_cpu: built without gpu, or no Vulkan driver installed");
        return;
    }
    // Floating point, so that rounding to digital numbers hides nothing.
    let spec = Spec::new().kind(Type::F32);
    let bench = Bench::new(&spec);
    bench.restored("cpu.tif", &["--device", "cpu"]).ok();
    let run = bench.restored("gpu.tif", &["--device", "gpu"]).ok();
    assert!(
        run.stderr.contains("device: gpu"),
        "says which device: {run:#?}"
    );
    let bands = read(&bench.scene);
    let clear = (0..spec.width * spec.height)
        .filter(|i| !cloud(spec.width, spec.height, i / spec.width, i % spec.width));
    let values: Vec<f64> = clear.map(|i| bands[0][i]).collect();
    let range = values.iter().fold(f64::MIN, |a, &b| a.max(b))
        - values.iter().fold(f64::MAX, |a, &b| a.min(b));
    let difference = max_difference(&bench.path("cpu.tif"), &bench.path("gpu.tif"));
    assert!(difference <= 1e-3 * range, "{difference} of {range}");
}

#[test]
fn without_hardware_auto_means_cpu_and_says_so() {
    let hardware = std::fs::read_dir("/dev/dri").is_ok_and(|mut folder| folder.next().is_some());
    if hardware {
        skipped("without_hardware_auto_means_cpu_and_says_so: there may be a GPU here");
        return;
    }
    let bench = Bench::new(&Spec::new());
    let run = bench.restored("out.tif", &["--device", "auto"]).ok();
    assert!(run.stderr.contains("device: cpu"), "{run:#?}");
}

#[test]
fn info_tells_what_would_compute() {
    let done = Run::from(
        unclouded()
            .args(["info", "cpu", "--json"])
            .output()
            .unwrap(),
    )
    .ok();
    let said: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&said["kind"], &said["device"]),
        (&"device".into(), &"cpu".into())
    );
    assert!(said["name"].as_str().unwrap().contains("thread"), "{said}");
    let done = Run::from(unclouded().args(["info", "auto"]).output().unwrap()).ok();
    assert!(done.stdout.starts_with("device: "), "{done:#?}");
}
