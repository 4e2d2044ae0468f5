//! The variational bound against its equations (arrays made by `reference/losses.py`), and what
//! the objectives teach a network.

mod golden;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use golden::bytes;
use golden::table::Table;
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::{self, Kind, LossBatch, Objective, Weighting, vlb};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::schedule::Schedule;
use unclouded_core::network::params::{self, Arrays};
use unclouded_core::network::unet::{UNet, UNetConfig};
use unclouded_core::raster::random::gaussian_stream;

const COSINE: Schedule = Schedule::Cosine { timesteps: 1000 };

#[test]
fn the_bound_is_that_of_the_paper() {
    let (arrays, _) = params::from_bytes(&bytes("losses")).unwrap();
    let tensor = |name: &str| {
        let array = &arrays[name];
        let data = TensorData::new(array.values.clone(), array.shape.clone());
        Tensor::<4>::from_data(data, &Device::flex())
    };
    let trained = COSINE.training_levels();
    let times = &arrays["timesteps"].values;
    let levels: Vec<NoiseLevel> = times.iter().map(|t| trained[*t as usize]).collect();
    let clean = tensor("clean");
    let got = vlb::terms(
        &clean,
        tensor("estimate"),
        tensor("variance"),
        &levels,
        &trained,
    );
    let host = |t: Tensor<4>| t.into_data().iter::<f64>().collect::<Vec<f64>>();
    let expected = host(tensor("terms"));
    // Terms reach tens of bits, in f32.
    let relative = |v: Vec<f64>| -> Vec<f64> {
        v.iter()
            .zip(&expected)
            .map(|(v, e)| v / e.abs().max(1.0))
            .collect()
    };
    let mut table = Table::default();
    let (got, wanted) = (relative(host(got)), relative(expected.clone()));
    let what = "variational bound, learned variance";
    table.compare(what, "NumPy, from the paper", &got, &wanted, 1e-4);
    table.finish();
}

fn network(device: &Device, learned_variance: bool) -> UNet {
    let config = UNetConfig {
        bands: 2,
        base_channels: 8,
        multipliers: vec![1],
        attention_levels: vec![],
        stem: 1,
        learned_variance,
        ..UNetConfig::default()
    };
    let unet = config.init(device).unwrap();
    // The same every time, and nothing zero.
    let mut weights: Arrays = params::collect(&unet);
    for (i, array) in weights.values_mut().enumerate() {
        let noise = gaussian_stream(&[9, i as u64], array.values.len());
        array
            .values
            .iter_mut()
            .zip(noise)
            .for_each(|(v, n)| *v = 0.2 * n);
    }
    params::assign(unet, &weights).unwrap()
}

fn batch(device: &Device, levels: Vec<NoiseLevel>) -> LossBatch {
    let items = levels.len();
    let tensor = |key: u64, channels: usize| {
        let values = gaussian_stream(&[key], items * channels * 64);
        Tensor::<4>::from_data(TensorData::new(values, [items, channels, 8, 8]), device)
    };
    LossBatch {
        clean: tensor(1, 2) * 0.5,
        noise: tensor(2, 2),
        degraded: None,
        mask: tensor(3, 1).greater_elem(0.0).float(),
        conditioning: None,
        levels,
        class: None,
    }
}

fn objective(kind: Kind, weighting: Weighting) -> Objective {
    Objective {
        prediction: Prediction::Eps,
        kind,
        weighting,
    }
}

/// Finds the gradient of the only parameter of four numbers, the last layer's bias.
struct Bias {
    grads: Gradients,
    found: Vec<f64>,
}

impl ModuleVisitor for Bias {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().dims().as_slice() == [4] {
            let gradient = param.val().grad(&self.grads).unwrap();
            self.found.extend(gradient.into_data().iter::<f64>());
        }
    }
}

/// The loss and the gradient of the last layer's bias, `[mean.., variance..]`.
fn trained(kind: Kind, weighting: Weighting, learned: bool) -> (f64, Vec<f64>) {
    let device = Device::flex().autodiff();
    let unet = network(&device, learned);
    let levels = COSINE.training_levels();
    let batch = batch(&device, vec![levels[3], levels[400], levels[900]]);
    let loss = loss::training(&unet, &objective(kind, weighting), &levels, batch);
    let mut finder = Bias {
        grads: loss.backward(),
        found: vec![],
    };
    unet.visit(&mut finder);
    (loss.into_scalar::<f64>(), finder.found)
}

#[test]
fn each_objective_teaches_its_part_of_the_network() {
    let (simple, mean) = trained(Kind::Simple, Weighting::Output, true);
    assert!(mean[..2].iter().all(|g| g.abs() > 1e-6));
    assert!(
        mean[2..].iter().all(|g| *g == 0.0),
        "simple teaches no variance"
    );
    let (bound, both) = trained(Kind::Vlb, Weighting::Output, true);
    assert!(both.iter().all(|g| g.abs() > 1e-9));
    let (hybrid, parts) = trained(Kind::Hybrid, Weighting::Output, true);
    // The mean learns from the simple loss alone, the variance from the bound.
    for (a, b) in mean[..2].iter().zip(&parts[..2]) {
        assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{a} {b}");
    }
    for (a, b) in both[2..].iter().zip(&parts[2..]) {
        assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} {b}");
    }
    // A thousandth of the sum over a thousand timesteps.
    assert!(
        (hybrid - simple - bound).abs() < 1e-4 * hybrid.abs(),
        "{hybrid} {simple} {bound}"
    );
}

#[test]
fn weights_weigh_levels_as_they_say() {
    let levels = COSINE.training_levels();
    let device = Device::flex();
    let unet = network(&device, false);
    let of = |weighting, t: usize| {
        let objective = objective(Kind::Simple, weighting);
        let batch = batch(&device, vec![levels[t]]);
        loss::training(&unet, &objective, &levels, batch).into_scalar::<f64>()
    };
    for t in [10, 500, 900] {
        let plain = of(Weighting::Output, t);
        let snr = (levels[t].alpha / levels[t].sigma).powi(2);
        for (weighting, factor) in [
            (Weighting::MinSnr { gamma: 5.0 }, snr.min(5.0) / snr),
            (Weighting::X0, 1.0 / snr),
            (Weighting::ScoreMatching { power: 2.0 }, 1.0),
        ] {
            let got = of(weighting, t) / plain;
            assert!(
                (got / factor - 1.0).abs() < 1e-4,
                "{weighting:?} at {t}: {got}, {factor}"
            );
        }
    }
}
