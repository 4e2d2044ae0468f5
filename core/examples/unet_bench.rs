//! Milliseconds of a U-Net's forward pass and training step on the CPU.
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::{self, LossBatch};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::network::unet::UNetConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = UNetConfig {
        bands: 3,
        conditioning_bands: 4,
        base_channels: 32,
        multipliers: vec![2, 3, 4],
        blocks_per_level: 1,
        attention_levels: vec![2],
        heads: 4,
        middle_attention: false,
        stem: 2,
        ..UNetConfig::default()
    };
    let device = Device::flex();
    let unet = config.init(&device)?;
    println!("{} parameters", unet.num_params());
    let random = |c: usize, b: usize, d: &Device| {
        Tensor::<4>::random([b, c, 64, 64], Distribution::Normal(0.0, 1.0), d)
    };
    for batch in [1, 8] {
        let x = random(7, batch, &device);
        let t = Tensor::<1>::zeros([batch], &device);
        let mut best = f64::MAX;
        for _ in 0..6 {
            let start = Instant::now();
            let y = unet.forward(x.clone(), t.clone(), None);
            let _ = y.into_data();
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("forward batch {batch}: {:.1} ms", best * 1e3);
    }
    let device = Device::flex().autodiff();
    let unet = config.init(&device)?;
    let batch = 16;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let (y, n, c) = (
            random(3, batch, &device),
            random(3, batch, &device),
            random(4, batch, &device),
        );
        let mask = Tensor::ones([batch, 1, 64, 64], &device);
        let level = NoiseLevel {
            alpha: 1.0,
            sigma: 1.0,
            timestep: 0.0,
        };
        let levels = vec![level; batch];
        let batch = LossBatch {
            clean: y,
            noise: n,
            degraded: None,
            mask,
            conditioning: Some(c),
            levels,
            class: None,
        };
        let loss = loss::denoising(&unet, Prediction::Edm { sigma_data: 0.7 }, batch);
        let grads = loss.backward();
        best = best.min(start.elapsed().as_secs_f64());
        drop(grads);
    }
    println!("training step batch {batch}: {:.0} ms", best * 1e3);
    Ok(())
}
