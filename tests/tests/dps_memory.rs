//! The memory of DPS: one recorded step at a time, whatever their number (a process of its own,
//! since it looks at the process's peak). `-- --nocapture` prints megabytes a batch.
#![cfg(target_os = "linux")]

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::inverse::{LinearOperator, Measurement, Visible, dps};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::sampler::Walk;
use unclouded_core::diffusion::schedule::{Schedule, Spacing};
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::network::unet::UNetConfig;
use unclouded_core::raster::random::gaussian_stream;

struct Stream([usize; 4]);

impl NoiseSource for Stream {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let values = gaussian_stream(&[1, draw as u64], self.0.iter().product());
        Tensor::from_data(TensorData::new(values, self.0), device)
    }
}

/// A line of /proc/self/status, megabytes.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024.0
}

/// The process's peak during a run of so many steps over a batch of tiles of 64 x 64 pixels,
/// megabytes: of the largest run so far, since what is freed stays with the process.
fn peak(denoiser: &NetworkDenoiser, batch: usize, steps: usize) -> f64 {
    let device = Device::flex();
    let mut noise = Stream([batch, 3, 64, 64]);
    let karras = Schedule::Karras {
        sigma_min: 0.01,
        sigma_max: 40.0,
        rho: 7.0,
    };
    let levels = karras.levels(steps, Spacing::Trailing).unwrap();
    let visible = Tensor::cat(
        vec![
            Tensor::ones([batch, 1, 64, 40], &device),
            Tensor::zeros([batch, 1, 64, 24], &device),
        ],
        3,
    );
    let operator: &dyn LinearOperator = &Visible { visible };
    let y = operator.forward(noise.draw(9, &device));
    let measurement = Measurement {
        operator,
        y,
        noise_std: 0.0,
    };
    let x = noise.draw(0, &device) * levels[0].sigma;
    // Forgets the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let go_on = &mut |_: usize, _: &Tensor<4>, _: &Tensor<4>| ControlFlow::Continue(());
    let x = dps(
        &mut Walk::new(denoiser, &levels, &mut noise, go_on),
        &measurement,
        x,
        1.0,
    )
    .unwrap();
    assert!(x.abs().max().into_scalar::<f32>().is_finite());
    status("VmHWM")
}

#[test]
fn memory_grows_with_the_batch_and_not_with_the_steps() {
    let config = UNetConfig {
        bands: 3,
        ..UNetConfig::default()
    };
    let unet = config.init(&Device::flex()).unwrap();
    let denoiser = NetworkDenoiser {
        network: &unet,
        prediction: Prediction::Edm { sigma_data: 1.0 },
        conditioning: None,
        mask: None,
        class: None,
        vector: None,
        spread: false,
    };
    println!("before: {:.0} MB", status("VmRSS"));
    let mut few = 0.0;
    for batch in [1, 2, 4] {
        few = peak(&denoiser, batch, 2);
        println!("DPS, {batch} tiles of 64 x 64 pixels: peak of {few:.0} MB");
    }
    let many = peak(&denoiser, 4, 10);
    println!("the same over 10 steps instead of 2: {many:.0} MB");
    assert!(
        many < 1.2 * few + 20.0,
        "{few:.0} MB in 2 steps, {many:.0} in 10"
    );
    assert!(few < 1000.0, "{few:.0} MB");
}
