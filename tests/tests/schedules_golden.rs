//! The schedules against diffusers and the papers in f64 (arrays made by
//! `reference/schedules.py`). Prints the table of core/README.md:
//!
//! `cargo test --release -p unclouded-tests --test schedules_golden -- --nocapture`

mod golden;

use golden::table::Table;
use golden::{bytes, values};
use safetensors::SafeTensors;
use unclouded_core::diffusion::schedule::{Base, Schedule, Spacing, karras_sigmas, timesteps};

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

const DIFFUSERS: &str = "diffusers 0.42.1";
const PAPER: &str = "NumPy, from the paper";

#[test]
fn every_schedule_is_that_of_its_reference() {
    let bytes = bytes("schedules");
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let mut table = Table::default();
    let bases = [
        Base::Linear,
        Base::ScaledLinear,
        Base::Cosine,
        Base::SigmoidBeta,
    ];
    for (i, (name, _)) in schedules(1000).into_iter().enumerate() {
        let reference = if name == "sigmoid-alpha-bar" {
            PAPER
        } else {
            DIFFUSERS
        };
        let mut compare = |what: String, got: Vec<f64>, key: String| {
            table.compare(what, reference, &got, &values(&arrays, &key), TOLERANCE);
        };
        for length in [1000, 250, 7] {
            let schedule = schedules(length)[i].1;
            let (betas, bars) = (schedule.betas(), schedule.alphas_cumprod());
            compare(
                format!("{name}, betas"),
                betas,
                format!("betas.{name}.{length}"),
            );
            let key = format!("alphas_cumprod.{name}.{length}");
            compare(format!("{name}, alpha-bar"), bars, key);
        }
        for timesteps in [1000, 7] {
            let Some(base) = bases.get(i).copied() else {
                continue;
            };
            let betas = Schedule::ZeroTerminalSnr { timesteps, base }.betas();
            let key = format!("zero_snr.{name}.{timesteps}");
            compare(format!("zero-terminal-snr of {name}, betas"), betas, key);
        }
    }
    score_models(&arrays, &mut table);
    for n in [1, 2, 10, 256] {
        let got = karras_sigmas(n, 0.002, 80.0, 7.0);
        let expected = values(&arrays, &format!("karras.{n}"));
        table.compare("karras sigmas", PAPER, &got, &expected, TOLERANCE);
    }
    karras_spacing(&arrays, &mut table);
    spacings(&arrays, &mut table);
    table.finish();
}

/// NCSN's geometric sigmas and the SDEs.
fn score_models(arrays: &SafeTensors, table: &mut Table) {
    for timesteps in [1000, 10] {
        let (beta_min, beta_max) = (0.1, 20.0);
        let geometric = Schedule::Geometric {
            timesteps,
            sigma_min: 0.01,
            sigma_max: 50.0,
        };
        let vp = Schedule::VpSde {
            timesteps,
            beta_min,
            beta_max,
        };
        let sub_vp = Schedule::SubVpSde {
            timesteps,
            beta_min,
            beta_max,
        };
        for (name, schedule) in [
            ("geometric", geometric),
            ("vp-sde", vp),
            ("sub-vp-sde", sub_vp),
        ] {
            let levels = schedule.training_levels();
            let parts: [(_, Vec<f64>); 2] = [
                ("alpha", levels.iter().map(|l| l.alpha).collect()),
                ("sigma", levels.iter().map(|l| l.sigma).collect()),
            ];
            for (part, got) in parts {
                let expected = values(arrays, &format!("{part}.{name}.{timesteps}"));
                let what = format!("{name}, alpha and sigma");
                table.compare(what, PAPER, &got, &expected, TOLERANCE);
            }
        }
    }
}

/// Karras sigmas between the ends of a variance-preserving schedule, and their timesteps.
fn karras_spacing(arrays: &SafeTensors, table: &mut Table) {
    for (name, schedule) in schedules(1000).into_iter().take(3) {
        let mut levels = schedule.levels(25, Spacing::Karras).unwrap();
        levels.pop();
        let sigmas: Vec<f64> = levels.iter().map(|l| l.relative_sigma()).collect();
        let times: Vec<f64> = levels.iter().map(|l| l.timestep).collect();
        for (key, got) in [("vp_karras_sigmas", sigmas), ("vp_karras_timesteps", times)] {
            let expected = values(arrays, &format!("{key}.{name}"));
            // The cosine schedule's largest sigma is 2e4.
            let relative = |v: &[f64]| -> Vec<f64> {
                v.iter()
                    .zip(&expected)
                    .map(|(v, e)| v / e.max(1.0))
                    .collect()
            };
            let (got, expected) = (relative(&got), relative(&expected));
            table.compare("spacing karras", DIFFUSERS, &got, &expected, TOLERANCE);
        }
    }
}

/// Every number of steps of T = 100, some of T = 1000.
fn spacings(arrays: &SafeTensors, table: &mut Table) {
    let all = [
        ("leading", Spacing::Leading),
        ("linspace", Spacing::Linspace),
        ("trailing", Spacing::Trailing),
    ];
    for (name, spacing) in all {
        let floats = |total, n| -> Vec<f64> {
            let times = timesteps(total, n, spacing);
            times.into_iter().map(|t| t as f64).collect()
        };
        let what = format!("spacing {name}");
        for n in [3, 7, 10, 30, 50, 333, 1000] {
            let expected = values(arrays, &format!("timesteps.{name}.1000.{n}"));
            table.compare(&what, DIFFUSERS, &floats(1000, n), &expected, TOLERANCE);
        }
        let got: Vec<f64> = (1..=100).flat_map(|n| floats(100, n)).collect();
        let expected = values(arrays, &format!("timesteps.{name}.100"));
        table.compare(&what, DIFFUSERS, &got, &expected, TOLERANCE);
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
