//! Gradients by the image on software Vulkan are those on the CPU.
#![cfg(feature = "gpu")]

mod golden;

use std::io::Write;

use burn::tensor::{Device, Tensor, TensorData};
use golden::bytes;
use unclouded::device::{DeviceChoice, choose};
use unclouded_core::diffusion::denoiser::Denoiser;
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::gradient::pullback;
use unclouded_core::diffusion::inverse::{BlockMean, LinearOperator, Measurement, PseudoInverse};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::network::params::{self, Arrays};
use unclouded_core::network::unet::UNetConfig;

/// Estimate, pullback and a guided estimate of a tiny network of `unet.safetensors`, in a row.
fn run(name: &str, device: &Device) -> Vec<f32> {
    let (arrays, metadata) = params::from_bytes(&bytes("unet")).unwrap();
    let config: UNetConfig = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    let unet = params::assign(config.init(device).unwrap(), &weights).unwrap();
    let tensor = |key: usize, channels: usize, side: usize| -> Tensor<4> {
        let number = |i: usize| ((i * 7919 + key * 104_729) % 2003) as f32 / 1001.0 - 1.0;
        let values: Vec<f32> = (0..2 * channels * side * side).map(number).collect();
        Tensor::from_data(TensorData::new(values, [2, channels, side, side]), device)
    };
    let denoiser = NetworkDenoiser {
        network: &unet,
        prediction: Prediction::Edm { sigma_data: 0.5 },
        conditioning: Some(tensor(3, config.conditioning_bands, 16)),
        mask: None,
        class: None,
        vector: None,
        spread: false,
    };
    let level = NoiseLevel {
        alpha: 1.0,
        sigma: 0.7,
        timestep: 0.0,
    };
    let (x, v) = (tensor(1, 3, 16), tensor(2, 3, 16));
    let (denoised, gradient) = pullback(&denoiser, x.clone(), level, &|_| v.clone());
    let means = BlockMean::new(4, (16, 16), device);
    let guided = PseudoInverse {
        inner: &denoiser,
        measurement: Measurement {
            operator: &means as &dyn LinearOperator,
            y: tensor(4, 3, 4),
            noise_std: 0.1,
        },
        data_std: 1.0,
    };
    let guided = guided.denoise(x, level);
    let all = Tensor::cat(vec![denoised, gradient, guided], 0);
    all.into_data().iter::<f32>().collect()
}

#[test]
fn gradients_on_the_gpu_are_those_on_the_cpu() {
    let gpu = match choose(DeviceChoice::Gpu(None)) {
        Ok(gpu) => gpu,
        Err(failure) => {
            // The test harness does not capture this.
            let why = failure.message;
            let _ = writeln!(std::io::stderr(), "SKIPPED: gradients on the GPU: {why}");
            return;
        }
    };
    for name in ["plain", "stem_attention"] {
        let (got, expected) = (run(name, &gpu.device), run(name, &Device::flex()));
        let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.1, "{name}: nothing to compare");
        let worst = got
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs() / largest);
        let worst = worst.fold(0.0f32, |m, d| if d <= m { m } else { d });
        println!("{name} on {}: {worst:.1e}", gpu.name);
        assert!(worst < 1e-3, "{name}: {worst:e}");
    }
}
