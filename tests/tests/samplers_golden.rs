//! Every sampler against diffusers, k-diffusion or the equations of its paper: whole trajectories
//! over a denoiser known in closed form and over a tiny network with random weights (arrays made
//! by `reference/samplers.py`). Prints the table of core/README.md:
//!
//! `cargo test --release -p unclouded-tests --test samplers_golden -- --nocapture`

mod golden;

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use golden::problem::{Mixture, Problem};
use golden::table::Table;
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::sampler::{Options, Sampler, img2img, sample_with};
use unclouded_core::diffusion::schedule::{Schedule, Spacing};
use unclouded_core::diffusion::sde::Sde;
use unclouded_core::diffusion::threshold::Threshold;

const TOLERANCE: f64 = 1e-4;
const DIFFUSERS: &str = "diffusers 0.42.1";
const K_DIFFUSION: &str = "k-diffusion 0.1.1";
const PAPER: &str = "NumPy, from the paper";
const LINEAR: Schedule = Schedule::Linear {
    timesteps: 1000,
    beta_start: 1e-4,
    beta_end: 0.02,
};

fn vp(steps: usize, spacing: Spacing) -> Vec<NoiseLevel> {
    LINEAR.levels(steps, spacing).unwrap()
}

fn leading(steps: usize) -> Vec<NoiseLevel> {
    vp(steps, Spacing::Leading)
}

fn trailing(steps: usize) -> Vec<NoiseLevel> {
    vp(steps, Spacing::Trailing)
}

/// Trailing, down to the first timestep instead of to the clean image.
fn to_sigma_min(steps: usize) -> Vec<NoiseLevel> {
    let mut levels = trailing(steps);
    levels[steps] = LINEAR.training_levels()[0];
    levels
}

fn edm(steps: usize) -> Vec<NoiseLevel> {
    let karras = Schedule::Karras {
        sigma_min: 0.002,
        sigma_max: 80.0,
        rho: 7.0,
    };
    karras.levels(steps, Spacing::Trailing).unwrap()
}

fn geometric(timesteps: usize) -> Vec<NoiseLevel> {
    let schedule = Schedule::Geometric {
        timesteps,
        sigma_min: 0.01,
        sigma_max: 50.0,
    };
    schedule.levels(timesteps, Spacing::Trailing).unwrap()
}

/// One run beside the states stored under `name`.
struct Run {
    name: &'static str,
    reference: &'static str,
    sampler: Sampler,
    levels: Vec<NoiseLevel>,
    options: Options,
    /// A state is stored every so many steps.
    every: usize,
}

/// The runs, in the order of the table; those over the network are found by their name.
fn runs(problem: &Problem) -> Vec<Run> {
    let run = |name, reference, sampler, levels| Run {
        name,
        reference,
        sampler,
        levels,
        options: Options::default(),
        every: 1,
    };
    let with = |run: Run, change: &dyn Fn(&mut Options)| {
        let mut options = run.options;
        change(&mut options);
        Run { options, ..run }
    };
    use Sampler::*;
    let thousand = Run {
        every: 50,
        ..run("ddpm.1000", DIFFUSERS, Ddpm, leading(1000))
    };
    let eta = |name, eta| {
        let ddim = run(name, DIFFUSERS, Ddim, leading(20));
        with(ddim, &|options| options.eta = eta)
    };
    let third = |run| with(run, &|options: &mut Options| options.unipc_order = 3);
    let scheduled = |run| {
        with(run, &|options: &mut Options| {
            options.schedule = Some(LINEAR)
        })
    };
    let half = |run| with(run, &|options: &mut Options| options.sde_eta = 0.5);
    let trained = LINEAR.training_levels();
    let times = problem.values("lcm.timesteps").unwrap();
    let mut lcm: Vec<NoiseLevel> = times.iter().map(|t| trained[*t as usize]).collect();
    lcm.push(NoiseLevel::CLEAN);
    vec![
        thousand,
        run("ddpm.20", DIFFUSERS, Ddpm, leading(20)),
        eta("ddim.20.eta-0", 0.0),
        eta("ddim.20.eta-0.5", 0.5),
        eta("ddim.20.eta-1", 1.0),
        run("ddim.edm", DIFFUSERS, Ddim, edm(20)),
        run("euler.20", DIFFUSERS, Euler, trailing(20)),
        run("euler.k", K_DIFFUSION, Euler, edm(20)),
        run(
            "euler-ancestral.20",
            DIFFUSERS,
            EulerAncestral,
            trailing(20),
        ),
        run("euler-ancestral.k", K_DIFFUSION, EulerAncestral, edm(20)),
        run("heun.20", DIFFUSERS, Heun, trailing(20)),
        run("heun.karras", DIFFUSERS, Heun, vp(20, Spacing::Karras)),
        run("heun.k", K_DIFFUSION, Heun, edm(18)),
        run("heun-churn.k", K_DIFFUSION, HeunChurn, edm(18)),
        run("lms.20", DIFFUSERS, Lms, trailing(20)),
        run("lms.k", K_DIFFUSION, Lms, edm(20)),
        run("plms.20", DIFFUSERS, Plms, leading(20)),
        scheduled(run("pndm.20", DIFFUSERS, Pndm, leading(20))),
        scheduled(run("pndm.10", DIFFUSERS, Pndm, leading(10))),
        run("dpmpp-1s.20", DIFFUSERS, DpmSolverPp1s, trailing(20)),
        run("dpmpp-2s.20", DIFFUSERS, DpmSolverPp2s, trailing(20)),
        run("dpmpp-2s.9", DIFFUSERS, DpmSolverPp2s, trailing(9)),
        run("dpmpp-2m.20", DIFFUSERS, DpmSolverPp2m, trailing(20)),
        run("dpmpp-2m.10", DIFFUSERS, DpmSolverPp2m, trailing(10)),
        run(
            "dpmpp-2m.20.sigma-min",
            DIFFUSERS,
            DpmSolverPp2m,
            to_sigma_min(20),
        ),
        run(
            "dpmpp-2m.10.sigma-min",
            DIFFUSERS,
            DpmSolverPp2m,
            to_sigma_min(10),
        ),
        run(
            "dpmpp-2m.karras",
            DIFFUSERS,
            DpmSolverPp2m,
            vp(20, Spacing::Karras),
        ),
        run("dpmpp-2m.edm", DIFFUSERS, DpmSolverPp2m, edm(20)),
        run("dpmpp-2m.k", K_DIFFUSION, DpmSolverPp2m, edm(20)),
        run("dpmpp-3m.20", DIFFUSERS, DpmSolverPp3m, trailing(20)),
        run("dpmpp-3m.10", DIFFUSERS, DpmSolverPp3m, trailing(10)),
        run(
            "dpmpp-3m.karras",
            DIFFUSERS,
            DpmSolverPp3m,
            vp(20, Spacing::Karras),
        ),
        run("dpmpp-2m-sde.20", DIFFUSERS, DpmSolverPp2mSde, trailing(20)),
        run("dpmpp-2m-sde.k", K_DIFFUSION, DpmSolverPp2mSde, edm(20)),
        run("dpmpp-3m-sde.k", K_DIFFUSION, DpmSolverPp3mSde, edm(20)),
        half(run(
            "dpmpp-3m-sde.k.eta-0.5",
            K_DIFFUSION,
            DpmSolverPp3mSde,
            edm(20),
        )),
        run("unipc-bh1.20", DIFFUSERS, UniPcBh1, to_sigma_min(20)),
        third(run(
            "unipc-bh1.20.order-3",
            DIFFUSERS,
            UniPcBh1,
            to_sigma_min(20),
        )),
        run("unipc-bh2.20", DIFFUSERS, UniPcBh2, trailing(20)),
        run("unipc-bh2.10", DIFFUSERS, UniPcBh2, trailing(10)),
        third(run(
            "unipc-bh2.10.order-3",
            DIFFUSERS,
            UniPcBh2,
            trailing(10),
        )),
        run("lcm.4", DIFFUSERS, Lcm, lcm),
        run("consistency.20", DIFFUSERS, Consistency, edm(20)),
        run("reverse-diffusion.vp", PAPER, ReverseDiffusion, leading(25)),
        run(
            "reverse-diffusion.ve",
            PAPER,
            ReverseDiffusion,
            geometric(25),
        ),
        run("probability-flow.vp", PAPER, ProbabilityFlow, leading(25)),
        run("probability-flow.ve", PAPER, ProbabilityFlow, geometric(25)),
        run(
            "predictor-corrector.vp",
            PAPER,
            PredictorCorrector,
            leading(25),
        ),
        run(
            "predictor-corrector.ve",
            PAPER,
            PredictorCorrector,
            geometric(25),
        ),
        run(
            "annealed-langevin.ve",
            PAPER,
            AnnealedLangevin,
            geometric(20),
        ),
    ]
}

/// States of unit size: divided by the level's sigma where that is above 1.
fn scaled(x: &Tensor<4>, level: NoiseLevel) -> Vec<f64> {
    let scale = level.sigma.max(1.0);
    x.to_data().iter::<f64>().map(|v| v / scale).collect()
}

impl Run {
    /// Adds the whole trajectory over `denoiser` to the table.
    fn compare(
        &self,
        table: &mut Table,
        what: String,
        problem: &Problem,
        denoiser: &dyn Denoiser,
        array: &str,
    ) {
        let device = Device::flex();
        let mut noise = problem.noise();
        let first = self.levels[0];
        // Variance-preserving runs start from unit noise, as in diffusers.
        let start = if first.alpha < 1.0 { 1.0 } else { first.sigma };
        let x = noise.draw(0, &device) * start;
        let size: usize = problem.shape("noise")[1..].iter().product();
        let stored = problem.values(array).unwrap();
        // The scheduler of consistency models stops at its least sigma, where its model is
        // defined to return x.
        let states = stored.len() / size;
        let (mut got, mut expected) = (Vec::new(), Vec::new());
        let mut keep = |step: usize, x: &Tensor<4>, _: &Tensor<4>| {
            let state = (step + 1) / self.every;
            if (step + 1).is_multiple_of(self.every) && state <= states {
                let level = self.levels[step + 1];
                got.extend(scaled(x, level));
                let values = &stored[(state - 1) * size..state * size];
                expected.extend(values.iter().map(|v| v / level.sigma.max(1.0)));
            }
            ControlFlow::Continue(())
        };
        let (levels, options) = (&self.levels, self.options);
        sample_with(
            self.sampler,
            denoiser,
            x,
            levels,
            options,
            &mut noise,
            &mut keep,
        )
        .unwrap();
        assert_eq!(got.len(), stored.len(), "{array}: number of states");
        table.compare(what, self.reference, &got, &expected, TOLERANCE);
    }
}

/// A denoiser that also says something about the variance.
struct Learned(Mixture);

impl Denoiser for Learned {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.0.denoise(x, level)
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        (self.denoise(x.clone(), level), Some((x * 3.0).sin()))
    }
}

#[test]
fn every_sampler_follows_its_reference() {
    let problem = Problem::load();
    let mut table = Table::default();
    let runs = runs(&problem);
    for sampler in Sampler::ALL {
        let own = || runs.iter().filter(move |run| run.sampler == sampler);
        for (ending, on) in [("", "mixture"), (".unet", "U-Net")] {
            let mut compared = 0;
            for run in own() {
                let array = format!("{}{ending}", run.name);
                if problem.values(&array).is_none() {
                    continue;
                }
                let what = format!("{} on {on}", sampler.name());
                let vp = run.levels[0].alpha < 1.0;
                let edm = Prediction::Edm { sigma_data: 0.5 };
                match ending {
                    "" => run.compare(&mut table, what, &problem, &problem.mixture(None), &array),
                    _ => {
                        let prediction = if vp { Prediction::V } else { edm };
                        let network = problem.network(prediction);
                        run.compare(&mut table, what, &problem, &network, &array);
                    }
                }
                compared += 1;
            }
            assert!(compared > 0, "{} has no run on {on}", sampler.name());
        }
    }
    // The same trajectories whatever the network predicts.
    for run in runs.iter().filter(|run| run.sampler == Sampler::Ddim) {
        let predictions = match run.levels[0].alpha < 1.0 {
            true => vec![Prediction::Eps, Prediction::X0, Prediction::V],
            false => vec![Prediction::Edm { sigma_data: 0.5 }],
        };
        for prediction in predictions {
            let denoiser = problem.mixture(Some(prediction));
            let what = "ddim through eps, x0, v and EDM".into();
            run.compare(&mut table, what, &problem, &denoiser, run.name);
        }
    }
    let learned = Run {
        name: "ddpm.20.learned",
        reference: DIFFUSERS,
        sampler: Sampler::Ddpm,
        levels: leading(20),
        options: Options::default(),
        every: 1,
    };
    let denoiser = Learned(problem.mixture(None));
    let what = "ddpm with learned variance".into();
    learned.compare(&mut table, what, &problem, &denoiser, learned.name);
    start_from_an_image(&problem, &mut table);
    continuous_time(&problem, &mut table);
    thresholds(&problem, &mut table);
    table.finish();
}

fn start_from_an_image(problem: &Problem, table: &mut Table) {
    for (ending, network) in [("", false), (".unet", true)] {
        let device = Device::flex();
        let mut noise = problem.noise();
        let draw = noise.draw(0, &device);
        let image = draw.ones_like() * 0.3;
        let levels = leading(20);
        let part = img2img::walked(&levels, 0.63).unwrap();
        let x = img2img::noised(image, draw, part[0]);
        let mut got = Vec::new();
        let mut keep = |_: usize, x: &Tensor<4>, _: &Tensor<4>| {
            got.extend(x.to_data().iter::<f64>());
            ControlFlow::Continue(())
        };
        let mixture = problem.mixture(None);
        let unet = problem.network(Prediction::V);
        let denoiser: &dyn Denoiser = if network { &unet } else { &mixture };
        let options = Options::default();
        sample_with(
            Sampler::Ddim,
            denoiser,
            x,
            part,
            options,
            &mut noise,
            &mut keep,
        )
        .unwrap();
        let expected = problem.values(&format!("img2img{ending}")).unwrap();
        let what = "start from an image (SDEdit)";
        table.compare(what, DIFFUSERS, &got, &expected, TOLERANCE);
    }
}

fn continuous_time(problem: &Problem, table: &mut Table) {
    const STEPS: usize = 40;
    let (beta_min, beta_max) = (0.1, 20.0);
    let (sigma_min, sigma_max) = (0.01, 50.0);
    for (name, what, sde) in [
        (
            "vp",
            "Euler-Maruyama on the VP-SDE",
            Sde::Vp { beta_min, beta_max },
        ),
        (
            "sub-vp",
            "Euler-Maruyama on the sub-VP-SDE",
            Sde::SubVp { beta_min, beta_max },
        ),
        (
            "ve",
            "Euler-Maruyama on the VE-SDE",
            Sde::Ve {
                sigma_min,
                sigma_max,
            },
        ),
    ] {
        for (ending, flow) in [("", false), (".flow", true)] {
            let mut noise = problem.noise();
            let x = noise.draw(0, &Device::flex()) * sde.level(1.0).sigma;
            let dt = (1.0 - sde.smallest_time()) / STEPS as f64;
            let level = |step: usize| sde.level(1.0 - (step + 1) as f64 * dt);
            let mut got = Vec::new();
            let mut keep = |step: usize, x: &Tensor<4>, _: &Tensor<4>| {
                got.extend(scaled(x, level(step)));
                ControlFlow::Continue(())
            };
            let denoiser = problem.mixture(None);
            let end = sde.euler_maruyama(&denoiser, x, STEPS, flow, &mut noise, &mut keep);
            got.extend(end.unwrap().to_data().iter::<f64>());
            let mut expected = problem
                .values(&format!("euler-maruyama.{name}{ending}"))
                .unwrap();
            let size = expected.len() / (STEPS + 1);
            for (step, state) in expected.chunks_mut(size).take(STEPS).enumerate() {
                state
                    .iter_mut()
                    .for_each(|v| *v /= level(step).sigma.max(1.0));
            }
            let what = match flow {
                true => what.replace("Euler-Maruyama", "probability flow"),
                false => what.to_owned(),
            };
            table.compare(what, PAPER, &got, &expected, TOLERANCE);
        }
    }
}

fn thresholds(problem: &Problem, table: &mut Table) {
    let x = problem.values("threshold.x").unwrap();
    let shape: [usize; 4] = problem.shape("threshold.x").try_into().unwrap();
    let values: Vec<f32> = x.iter().map(|v| *v as f32).collect();
    let x = Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex());
    let dynamic = Threshold::Dynamic {
        quantile: 0.9,
        most: 3.0,
    };
    for (name, what, threshold) in [
        (
            "static",
            "static thresholding",
            Threshold::Static { range: 1.0 },
        ),
        ("dynamic", "dynamic thresholding", dynamic),
    ] {
        let got: Vec<f64> = threshold.apply(x.clone()).to_data().iter().collect();
        let expected = problem.values(&format!("threshold.{name}")).unwrap();
        table.compare(what, DIFFUSERS, &got, &expected, TOLERANCE);
    }
}
