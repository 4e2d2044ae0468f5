//! Guidance, summation, RePaint, DDNM, DDRM, PiGDM, DPS, MCG and cold diffusion against the equations of
//! their papers (arrays made by `reference/inverse.py`), over a denoiser known in closed form and
//! over tiny U-Nets, gradients included. `-- --nocapture` prints the largest differences.

mod golden;

use std::cell::RefCell;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData, activation};
use golden::{bytes, max_abs_diff, shape, values};
use safetensors::SafeTensors;
use unclouded_core::Result;
use unclouded_core::diffusion::cold::{self, Blurred, Degradation, Downsampled, Masked};
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::guidance::{Classifier, ClassifierFree, ClassifierGuided};
use unclouded_core::diffusion::inverse::Summation;
use unclouded_core::diffusion::inverse::{
    BlockMean, Blur, Ddrm, Decomposed, LinearOperator, Measurement, PseudoInverse, RangeNull,
    Visible, ddnm_plus, ddrm, dps, mcg,
};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::repaint::{Known, Resampling, repaint};
use unclouded_core::diffusion::sampler::{Sampler, Walk, sample};
use unclouded_core::diffusion::schedule::{Schedule, Spacing};
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::network::params::{self, Arrays};
use unclouded_core::network::unet::{UNet, UNetConfig};

const TOLERANCE: f64 = 1e-4;
const STEPS: usize = 12;

fn linear(timesteps: usize, beta_start: f64, beta_end: f64) -> Vec<NoiseLevel> {
    Schedule::Linear {
        timesteps,
        beta_start,
        beta_end,
    }
    .levels(STEPS, Spacing::Trailing)
    .unwrap()
}

fn vp() -> Vec<NoiseLevel> {
    linear(1000, 1e-4, 0.02)
}

fn ve() -> Vec<NoiseLevel> {
    Schedule::Karras {
        sigma_min: 0.02,
        sigma_max: 20.0,
        rho: 7.0,
    }
    .levels(STEPS, Spacing::Trailing)
    .unwrap()
}

/// The mixture of the script, over the mean of a pixel and two neighbours.
struct Mixture(Vec<f64>);

impl Denoiser for Mixture {
    fn denoise(&self, x: Tensor<4>, NoiseLevel { alpha, sigma, .. }: NoiseLevel) -> Tensor<4> {
        let rolled = |dim: usize| {
            let n = x.dims()[dim];
            let last = x.clone().narrow(dim, n - 1, 1);
            Tensor::cat(vec![last, x.clone().narrow(dim, 0, n - 1)], dim)
        };
        let mixed = (x.clone() + rolled(2) + rolled(3)) / 3.0;
        let part = |c: &[f64]| {
            let (weight, mean, std) = (c[0], c[1], c[2]);
            let variance = (alpha * std).powi(2) + sigma * sigma;
            let off = mixed.clone() - alpha * mean;
            let log = off.clone().square() / (-2.0 * variance) + (weight / variance.sqrt()).ln();
            (log, off * (alpha * std * std / variance) + mean)
        };
        let ((log_a, mean_a), (log_b, mean_b)) = (part(&self.0[..3]), part(&self.0[3..]));
        mean_b.clone() + (mean_a - mean_b) * activation::sigmoid(log_a - log_b)
    }
}

/// A tiny network of `unet.safetensors`.
fn network(name: &str) -> (UNet, usize) {
    let (arrays, metadata) = params::from_bytes(&bytes("unet")).unwrap();
    let config: UNetConfig = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    let unet = config.init(&Device::flex()).unwrap();
    (
        params::assign(unet, &weights).unwrap(),
        config.conditioning_bands,
    )
}

/// An EDM network at a third of its voice, see the script.
struct Quiet<'a>(NetworkDenoiser<'a>);

impl Denoiser for Quiet<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let skipped = x.clone() * self.0.prediction.scaling(level).c_skip;
        skipped.clone() + (self.0.denoise(x, level) - skipped) / 3.0
    }
}

/// The noise of the file, draw by draw.
struct Stored(Tensor<5>);

impl NoiseSource for Stored {
    fn draw(&mut self, draw: usize, _: &Device) -> Tensor<4> {
        self.0.clone().narrow(0, draw, 1).squeeze_dim(0)
    }
}

/// The sum of a classifier that likes every pixel near 0.2.
struct Near;

impl Classifier for Near {
    fn log_probability(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<1> {
        let [batch, ..] = x.dims();
        let square = (x - 0.2).square() / (-2.0 * (1.0 + level.sigma));
        square.sum_dim(1).sum_dim(2).sum_dim(3).reshape([batch])
    }
}

/// The same network, shown an image brighter by 0.3.
struct Shifted<'a>(&'a dyn Denoiser);

impl Denoiser for Shifted<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.0.denoise(x + 0.3, level)
    }
}

struct Bench<'a> {
    arrays: SafeTensors<'a>,
    /// `closed`, or the name of a network.
    kind: &'static str,
    denoiser: &'a dyn Denoiser,
    /// What differs too much.
    failures: RefCell<Vec<String>>,
}

type OnStep<'a> = &'a mut dyn FnMut(usize, &Tensor<4>, &Tensor<4>) -> ControlFlow<()>;

impl Bench<'_> {
    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let values: Vec<f32> = values(&self.arrays, name)
            .iter()
            .map(|v| *v as f32)
            .collect();
        let data = TensorData::new(values, shape(&self.arrays, name));
        Tensor::from_data(data, &Device::flex())
    }

    fn noise(&self) -> Stored {
        Stored(self.tensor("noise"))
    }

    fn start(&self, levels: &[NoiseLevel]) -> Tensor<4> {
        self.noise().draw(0, &Device::flex()) * levels[0].sigma
    }

    /// Compares some states of a run with those stored, for states of unit size.
    fn check(&self, name: &str, run: &dyn Fn(OnStep) -> Result<Tensor<4>>) {
        let name = format!("{}.{name}", self.kind);
        let mut states: Vec<Vec<f64>> = Vec::new();
        let out = run(&mut |_, x, _| {
            states.push(x.to_data().iter::<f64>().collect());
            ControlFlow::Continue(())
        });
        let n = states.len();
        let out: Vec<f64> = out.unwrap().into_data().iter::<f64>().collect();
        assert_eq!(out, states[n - 1]);
        let expected = values(&self.arrays, &name);
        let mut worst: f64 = 0.0;
        let size = states[0].len();
        for (expected, at) in expected
            .chunks_exact(size)
            .zip([0, n / 3, 2 * n / 3, n - 1])
        {
            let unit = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
            let diff = max_abs_diff(&states[at], expected) / unit;
            worst = if diff > worst || diff.is_nan() {
                diff
            } else {
                worst
            };
        }
        println!("| {name} | {worst:.1e} |");
        if worst.is_nan() || worst >= TOLERANCE {
            self.failures
                .borrow_mut()
                .push(format!("{name}: {worst:e}"));
        }
    }

    /// The six methods for a measurement by one operator.
    fn inverse(&self, name: &str, a: &dyn Decomposed, linear: &dyn LinearOperator) {
        let levels = if name == "mean" { ve() } else { vp() };
        let (levels, x) = (&levels[..], self.start(&levels));
        let mut draws = self.noise();
        let exact = linear.forward(self.tensor("image"));
        let last = draws.0.dims()[0] - 1;
        let noisy = exact.clone() + linear.forward(draws.draw(last, &Device::flex())) * 0.2;
        let d = self.denoiser;
        let run = |method: &str, go: &dyn Fn(OnStep) -> Result<Tensor<4>>| {
            self.check(&format!("{name}.{method}"), go);
        };
        run("ddnm", &|on_step| {
            let inner = RangeNull {
                inner: d,
                operator: linear,
                y: exact.clone(),
            };
            sample(
                Sampler::Ddim,
                &inner,
                x.clone(),
                levels,
                0.85,
                &mut self.noise(),
                on_step,
            )
        });
        let spectral = Measurement {
            operator: a,
            y: noisy.clone(),
            noise_std: 0.2,
        };
        run("ddnm-plus", &|on_step| {
            let mut noise = self.noise();
            ddnm_plus(
                &mut Walk::new(d, levels, &mut noise, on_step),
                &spectral,
                x.clone(),
            )
        });
        run("ddrm", &|on_step| {
            let how = Ddrm::default();
            let mut noise = self.noise();
            ddrm(
                &mut Walk::new(d, levels, &mut noise, on_step),
                &spectral,
                x.clone(),
                how,
            )
        });
        let measurement = |y: &Tensor<4>, noise_std: f64| Measurement {
            operator: linear,
            y: y.clone(),
            noise_std,
        };
        run("pigdm", &|on_step| {
            let inner = PseudoInverse {
                inner: d,
                measurement: measurement(&noisy, 0.2),
                data_std: 1.0,
            };
            sample(
                Sampler::Ddim,
                &inner,
                x.clone(),
                levels,
                0.0,
                &mut self.noise(),
                on_step,
            )
        });
        run("dps", &|on_step| {
            let m = measurement(&noisy, 0.2);
            let mut noise = self.noise();
            dps(
                &mut Walk::new(d, levels, &mut noise, on_step),
                &m,
                x.clone(),
                0.5,
            )
        });
        run("mcg", &|on_step| {
            let m = measurement(&exact, 0.0);
            let mut noise = self.noise();
            mcg(
                &mut Walk::new(d, levels, &mut noise, on_step),
                &m,
                x.clone(),
                0.5,
            )
        });
    }

    fn all(&self) {
        let device = Device::flex();
        let image: Tensor<4> = self.tensor("image");
        let mask: Tensor<4> = self.tensor("mask");
        // One mask for both images, as in the script.
        let visible = Visible {
            visible: mask.clone().narrow(0, 0, 1).neg() + 1.0,
        };
        self.inverse("visible", &visible, &visible);
        let mean = BlockMean::new(4, (8, 8), &device);
        self.inverse("mean", &mean, &mean);
        let blur = Blur::new(1.2, (8, 8), &device);
        self.inverse("blur", &blur, &blur);

        let short = linear(STEPS, 0.02, 0.4);
        let known = Known {
            image: image.clone(),
            mask,
        };
        let resampling = Resampling {
            jump_length: 3,
            jump_samples: 3,
        };
        self.check("repaint", &|on_step| {
            let x = self.start(&short);
            let noise = &mut self.noise();
            let walk = &mut Walk::new(self.denoiser, &short, noise, on_step);
            repaint(walk, &known, x, resampling, 1.0)
        });
        let ddim = |denoiser: &dyn Denoiser, on_step: OnStep| {
            let levels = vp();
            let x = self.noise().draw(0, &device);
            sample(
                Sampler::Ddim,
                denoiser,
                x,
                &levels,
                0.0,
                &mut self.noise(),
                on_step,
            )
        };
        self.check("sum", &|on_step| {
            let mut noise = self.noise();
            let last = noise.0.dims()[0] - 1;
            let summed = Summation {
                inner: self.denoiser,
                known: image.clone(),
                mask: known.mask.clone(),
                noise: noise.draw(last, &device),
            };
            ddim(&summed, on_step)
        });
        for (name, rescale) in [("classifier-free", 0.0), ("classifier-free.rescaled", 0.7)] {
            self.check(name, &|on_step| {
                let guided = ClassifierFree {
                    conditional: &Shifted(self.denoiser),
                    unconditional: self.denoiser,
                    weight: 1.5,
                    rescale,
                };
                ddim(&guided, on_step)
            });
        }
        self.check("classifier", &|on_step| {
            let guided = ClassifierGuided {
                inner: self.denoiser,
                classifier: &Near,
                scale: 0.7,
            };
            ddim(&guided, on_step)
        });
        let ways: [(&str, Box<dyn Degradation>); 3] = [
            ("blur", Box::new(Blurred::new(&[0.8; 3], (8, 8), &device))),
            ("mask", Box::new(Masked::new(3, (8, 8), &device))),
            ("downsample", Box::new(Downsampled::new(3, (8, 8), &device))),
        ];
        for (name, way) in ways {
            // The script's restorer: the denoiser, a little noise expected at every step.
            struct AtSigma<'a>(&'a dyn Denoiser);
            impl Denoiser for AtSigma<'_> {
                fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
                    let sigma = 0.1 * level.timestep;
                    self.0.denoise(x, NoiseLevel { sigma, ..level })
                }
            }
            self.check(&format!("cold.{name}"), &|on_step| {
                let x = way.degrade(image.clone(), way.steps());
                cold::restore(&AtSigma(self.denoiser), way.as_ref(), x, on_step)
            });
        }
        let failures = self.failures.borrow();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

#[test]
fn over_a_denoiser_in_closed_form() {
    let file = bytes("inverse");
    let arrays = SafeTensors::deserialize(&file).unwrap();
    let prior = values(&arrays, "prior");
    Bench {
        arrays,
        kind: "closed",
        denoiser: &Mixture(prior),
        failures: RefCell::default(),
    }
    .all();
}

fn over_a_network(kind: &'static str, name: &str) {
    let file = bytes("inverse");
    let (unet, extra) = network(name);
    let denoiser = Quiet(NetworkDenoiser {
        network: &unet,
        prediction: Prediction::Edm { sigma_data: 0.5 },
        conditioning: Some(Tensor::zeros([2, extra, 8, 8], &Device::flex())),
        mask: None,
        class: None,
        vector: None,
        spread: false,
    });
    Bench {
        arrays: SafeTensors::deserialize(&file).unwrap(),
        kind,
        denoiser: &denoiser,
        failures: RefCell::default(),
    }
    .all();
}

#[test]
fn over_a_plain_network() {
    over_a_network("plain", "plain");
}

#[test]
fn over_a_network_with_attention() {
    over_a_network("attention", "stem_attention");
}
