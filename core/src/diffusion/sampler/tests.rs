//! What holds for every sampler; their numbers are compared in the tests crate.

use std::ops::ControlFlow;

use burn::tensor::{Device, TensorData};

use super::*;
use crate::diffusion::schedule::{Schedule, Spacing};

const SCHEDULES: [Schedule; 2] = [
    Schedule::Karras {
        sigma_min: 0.002,
        sigma_max: 80.0,
        rho: 7.0,
    },
    Schedule::Linear {
        timesteps: 1000,
        beta_start: 1e-4,
        beta_end: 0.02,
    },
];

/// Always certain of the same image, and counts its calls.
struct Certain(std::cell::Cell<usize>);

impl Denoiser for Certain {
    fn denoise(&self, x: Tensor<4>, _level: NoiseLevel) -> Tensor<4> {
        self.0.set(self.0.get() + 1);
        x.ones_like() * 0.25
    }
}

/// Hands out constants and remembers which draws it was asked for.
struct Asked(Vec<usize>);

impl NoiseSource for Asked {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        self.0.push(draw);
        Tensor::from_data(TensorData::new(vec![0.5f32, -1.0], [1, 1, 1, 2]), device)
    }
}

fn run(
    sampler: Sampler,
    schedule: Schedule,
    steps: usize,
    eta: f64,
    on_step: &mut OnStep,
) -> (Result<Vec<f32>>, usize, Asked) {
    let levels = schedule.levels(steps, Spacing::Trailing).expect("valid");
    let (denoiser, mut noise) = (Certain(Default::default()), Asked(vec![]));
    let x = noise.draw(0, &Device::flex()) * levels[0].sigma;
    let out = sample(sampler, &denoiser, x, &levels, eta, &mut noise, on_step);
    let values = out.map(|x| x.into_data().iter::<f32>().collect());
    (values, denoiser.0.get(), noise)
}

fn go_on() -> impl FnMut(usize, &Tensor<4>, &Tensor<4>) -> ControlFlow<()> {
    |_, _, _| ControlFlow::Continue(())
}

#[test]
fn a_certain_denoiser_is_believed() {
    for (sampler, schedule) in Sampler::ALL
        .into_iter()
        .flat_map(|s| SCHEDULES.map(|c| (s, c)))
    {
        for count in [1, 2, 3, 8, 20] {
            // Made for even timesteps: their noise estimates at sigma 0.002 go back to sigma 80.
            if matches!(sampler, Sampler::Plms | Sampler::Pndm) && schedule == SCHEDULES[0] {
                continue;
            }
            let mut steps = Vec::new();
            let (out, calls, noise) =
                run(sampler, schedule, count, 0.0, &mut |step, x, denoised| {
                    assert_eq!(x.dims(), denoised.dims());
                    steps.push(step);
                    ControlFlow::Continue(())
                });
            let what = format!("{} in {count} steps", sampler.name());
            for value in out.expect("not interrupted") {
                assert!((value - 0.25).abs() < 2e-4, "{what}: {value}");
            }
            assert_eq!(calls, sampler.calls(count), "{what}");
            assert_eq!(steps, (0..count).collect::<Vec<_>>(), "{what}");
            // No draw twice, none skipped over the starting one.
            let mut unique = noise.0.clone();
            unique.dedup();
            assert_eq!(unique, noise.0, "{what}");
            let deterministic = sampler.family() == Family::Deterministic;
            assert!(!deterministic || noise.0 == [0], "{what}: {:?}", noise.0);
            // Churn has a range of noise levels, which two steps may miss.
            let few = if sampler == Sampler::HeunChurn { 2 } else { 1 };
            let asks = deterministic || count <= few || noise.0.len() > 1;
            assert!(asks, "{what} asks for no noise");
        }
    }
    let (_, _, noise) = run(Sampler::Ddim, SCHEDULES[1], 8, 1.0, &mut go_on());
    assert_eq!(noise.0, (0..8).collect::<Vec<_>>());
}

#[test]
fn stops_when_asked() {
    for sampler in Sampler::ALL {
        let mut stop = |step: usize, _: &Tensor<4>, _: &Tensor<4>| match step {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let (out, calls, _) = run(sampler, SCHEDULES[0], 8, 0.0, &mut stop);
        assert!(matches!(out, Err(Error::Interrupted)));
        assert!(calls <= sampler.calls(4), "{}: {calls}", sampler.name());
    }
}

#[test]
fn one_method_under_several_names() {
    let go = |sampler, schedule, eta| {
        let mut states: Vec<f32> = Vec::new();
        let mut keep = |_: usize, x: &Tensor<4>, _: &Tensor<4>| {
            states.extend(x.to_data().iter::<f32>());
            ControlFlow::Continue(())
        };
        run(sampler, schedule, 8, eta, &mut keep)
            .0
            .expect("not interrupted");
        states
    };
    for schedule in SCHEDULES {
        for (one, eta, other) in [
            (Sampler::Ddim, 1.0, Sampler::Ddpm),
            (Sampler::Ddim, 1.0, Sampler::EulerAncestral),
            (Sampler::Ddim, 0.0, Sampler::Euler),
            (Sampler::Ddim, 0.0, Sampler::DpmSolverPp1s),
        ] {
            let pairs = go(one, schedule, eta)
                .into_iter()
                .zip(go(other, schedule, 0.0));
            for (a, b) in pairs {
                assert!(
                    (a - b).abs() < 1e-5 * (1.0 + a.abs()),
                    "{}: {a} {b}",
                    other.name()
                );
            }
        }
    }
}

#[test]
fn names_go_both_ways() {
    let listing = Sampler::listing();
    for sampler in Sampler::ALL {
        assert_eq!(sampler.name().parse::<Sampler>().ok(), Some(sampler));
        let json = serde_json::to_string(&sampler).expect("json");
        assert_eq!(json, format!("\"{}\"", sampler.name()));
        assert_eq!(
            serde_json::from_str::<Sampler>(&json).expect("json"),
            sampler
        );
        assert!(listing.contains(sampler.name()));
    }
    let error = "magic"
        .parse::<Sampler>()
        .expect_err("no such sampler")
        .to_string();
    assert!(
        error.starts_with("sampler must be one of dpmpp-2m, "),
        "{error}"
    );
    assert!(error.ends_with(", got magic"), "{error}");
    assert!(serde_json::from_str::<Sampler>("\"magic\"").is_err());
}

#[test]
fn options_out_of_range_are_named() {
    let eta = run(Sampler::Ddim, SCHEDULES[1], 8, 1.5, &mut go_on()).0;
    assert!(matches!(eta, Err(Error::Setting { key: Key::Eta, .. })));
    let change = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        match options.validate() {
            Err(Error::Setting { key, .. }) => key.name(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change(&|o| o.sde_eta = f64::NAN), "sde eta");
    assert_eq!(change(&|o| o.churn.amount = -1.0), "churn");
    assert_eq!(change(&|o| o.unipc_order = 4), "order of unipc");
    assert_eq!(change(&|o| o.snr = 0.0), "snr");
    assert_eq!(change(&|o| o.langevin_steps = 0), "langevin steps");
    assert_eq!(
        change(&|o| o.consistency_min = f64::INFINITY),
        "consistency min"
    );
}

#[test]
fn an_image_may_be_the_start() {
    let levels = SCHEDULES[1].levels(10, Spacing::Trailing).expect("valid");
    let tensor =
        |v: f32| Tensor::<4>::from_data(TensorData::new(vec![v], [1, 1, 1, 1]), &Device::flex());
    for (strength, steps) in [(1.0, 10), (0.55, 5), (0.01, 1)] {
        let part = img2img::walked(&levels, strength).expect("in range");
        assert_eq!(part.len(), steps + 1);
        let x = img2img::noised(tensor(2.0), tensor(-1.0), part[0]);
        let expected = 2.0 * part[0].alpha - part[0].sigma;
        assert!((x.into_scalar::<f64>() - expected).abs() < 1e-6);
    }
    for strength in [-0.1, 0.0, 1.1, f64::NAN] {
        assert!(matches!(
            img2img::walked(&levels, strength),
            Err(Error::Setting {
                key: Key::Strength,
                ..
            })
        ));
    }
}
