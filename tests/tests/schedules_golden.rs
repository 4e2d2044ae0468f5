//! The schedules against diffusers in f64 (arrays made by `reference/schedules.py`).

mod golden;

use golden::{bytes, max_abs_diff, values};
use safetensors::SafeTensors;
use unclouded_core::diffusion::schedule::{Schedule, Spacing, karras_sigmas, timesteps};

const TOLERANCE: f64 = 1e-10;

fn schedules(timesteps: usize) -> [(&'static str, Schedule); 5] {
    let (beta_start, beta_end) = (1e-4, 0.02);
    [
        (
            "linear",
            Schedule::Linear {
                timesteps,
                beta_start,
                beta_end,
            },
        ),
        (
            "scaled-linear",
            Schedule::ScaledLinear {
                timesteps,
                beta_start: 0.00085,
                beta_end: 0.012,
            },
        ),
        ("cosine", Schedule::Cosine { timesteps }),
        (
            "sigmoid-beta",
            Schedule::SigmoidBeta {
                timesteps,
                beta_start,
                beta_end,
            },
        ),
        ("sigmoid-alpha-bar", Schedule::SigmoidAlphaBar { timesteps }),
    ]
}

#[test]
fn betas_and_alphas_are_those_of_diffusers() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    for length in [1000, 250, 7] {
        for (name, schedule) in schedules(length) {
            for (what, got) in [
                ("betas", schedule.betas()),
                ("alphas_cumprod", schedule.alphas_cumprod()),
            ] {
                let expected = values(&arrays, &format!("{what}.{name}.{length}"));
                let diff = max_abs_diff(&got, &expected);
                assert!(diff < TOLERANCE, "{what} of {name}, T = {length}: {diff:e}");
            }
        }
    }
}

#[test]
fn karras_sigmas_are_those_of_the_paper() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    for n in [1, 2, 10, 256] {
        let got = karras_sigmas(n, 0.002, 80.0, 7.0);
        let diff = max_abs_diff(&got, &values(&arrays, &format!("karras.{n}")));
        assert!(diff < TOLERANCE, "{n} steps: {diff:e}");
    }
}

#[test]
fn karras_spacing_is_that_of_diffusers() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    for (name, schedule) in schedules(1000).into_iter().take(3) {
        let mut levels = schedule.levels(25, Spacing::Karras).unwrap();
        levels.pop();
        let sigmas: Vec<f64> = levels.iter().map(|l| l.relative_sigma()).collect();
        let times: Vec<f64> = levels.iter().map(|l| l.timestep).collect();
        // The cosine schedule's largest sigma is 2e4.
        let relative = |got: Vec<f64>, expected: Vec<f64>| {
            let pairs = got.iter().zip(&expected);
            let part: Vec<f64> = pairs.map(|(a, b)| (a - b) / b.max(1.0)).collect();
            max_abs_diff(&part, &vec![0.0; expected.len()])
        };
        let diff = relative(sigmas, values(&arrays, &format!("vp_karras_sigmas.{name}")));
        assert!(diff < TOLERANCE, "sigmas of {name}: {diff:e}");
        let diff = relative(
            times,
            values(&arrays, &format!("vp_karras_timesteps.{name}")),
        );
        assert!(diff < TOLERANCE, "timesteps of {name}: {diff:e}");
    }
}

#[test]
fn spacings_are_those_of_diffusers() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let all = [
        ("leading", Spacing::Leading),
        ("linspace", Spacing::Linspace),
        ("trailing", Spacing::Trailing),
    ];
    for (name, spacing) in all {
        let floats = |t: Vec<usize>| t.into_iter().map(|t| t as f64).collect::<Vec<_>>();
        for n in [3, 7, 10, 30, 50, 333, 1000] {
            let expected = values(&arrays, &format!("timesteps.{name}.1000.{n}"));
            assert_eq!(
                floats(timesteps(1000, n, spacing)),
                expected,
                "{name}, {n} of 1000"
            );
        }
        let expected = values(&arrays, &format!("timesteps.{name}.100"));
        let mut rest = expected.as_slice();
        for n in 1..=100 {
            let (expected, tail) = rest.split_at(n);
            assert_eq!(
                floats(timesteps(100, n, spacing)),
                expected,
                "{name}, {n} of 100"
            );
            rest = tail;
        }
    }
}

#[test]
fn levels_are_the_sigmas_of_diffusers() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let [(_, linear), ..] = schedules(1000);
    let levels = linear.levels(20, Spacing::Trailing).unwrap();
    let sigmas: Vec<f64> = levels.iter().map(|l| l.relative_sigma()).collect();
    // diffusers keeps these in f32.
    let expected = values(&arrays, "vp_sigmas.trailing.20");
    for (a, b) in sigmas.iter().zip(&expected) {
        assert!((a - b).abs() <= 2e-5 * b, "expected {b}, got {a}");
    }
    assert_eq!(sigmas.len(), expected.len());
}
