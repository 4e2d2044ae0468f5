//! Where to compute: a hardware GPU if there is one, else the processor, and saying which.
//!
//! burn's `Device::default()` prefers any compiled GPU backend, whether or not the machine has
//! the hardware, so the choice is made here. A software GPU (llvmpipe, SwiftShader) is slower
//! than the processor and is taken only when `gpu` is asked for.

use std::str::FromStr;

use burn::tensor::Device;
use serde::Serialize;

use crate::failure::{Failure, Result};

/// What the user asked for (`--device`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A hardware GPU if there is one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU, software ones included; by its number (from 0, hardware first) or the first.
    Gpu(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "gpu" => Ok(DeviceChoice::Gpu(None)),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|number| number.parse().ok())
                .map(|number| DeviceChoice::Gpu(Some(number)))
                .ok_or_else(|| format!("expected auto, cpu, gpu or gpu:NUMBER, got {text}")),
        }
    }
}

/// The device that was chosen, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Chosen {
    /// For burn.
    #[serde(skip)]
    pub device: Device,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// The adapter's own name, or how many threads the processor has.
    pub name: String,
    /// Why this one.
    pub reason: String,
}

impl Chosen {
    /// Threads that prepare batches for a training here: beside a GPU all but the one that feeds
    /// it, beside the network on the processor a single one, which takes a tenth of its time.
    pub fn loaders(&self) -> usize {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        match self.kind {
            "gpu" => threads.saturating_sub(1).max(1),
            _ => 1,
        }
    }

    /// One line for the log.
    pub fn describe(&self) -> String {
        format!("device: {} ({}), {}", self.kind, self.name, self.reason)
    }
}

/// Choose and open a device.
///
/// # Errors
/// Exit 2 when a GPU was asked for and there is none that works, or not that many, or this
/// program was built without GPU support.
pub fn choose(choice: DeviceChoice) -> Result<Chosen> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu("as asked")),
        DeviceChoice::Auto => Ok(match gpu::hardware() {
            Ok((device, name)) => Chosen {
                device,
                kind: "gpu",
                name,
                reason: "the first hardware GPU".into(),
            },
            Err(why) => cpu(&why),
        }),
        DeviceChoice::Gpu(number) => {
            let (device, name) = gpu::numbered(number.unwrap_or(0))
                .map_err(|failure| failure.hint("use --device cpu, or auto to let it choose"))?;
            Ok(Chosen {
                device,
                kind: "gpu",
                name,
                reason: "as asked".into(),
            })
        }
    }
}

fn cpu(reason: &str) -> Chosen {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Chosen {
        device: Device::flex(),
        kind: "cpu",
        name: format!("{threads} thread{}", if threads == 1 { "" } else { "s" }),
        reason: reason.into(),
    }
}

#[cfg(not(any(feature = "gpu", feature = "cuda")))]
mod gpu {
    use super::*;

    pub fn hardware() -> std::result::Result<(Device, String), String> {
        Err("this program was built without GPU support".into())
    }

    pub fn numbered(_number: usize) -> Result<(Device, String)> {
        Err(Failure::mismatch(
            "device",
            "a program built with GPU support",
            "one without",
        ))
    }
}

#[cfg(any(feature = "gpu", feature = "cuda"))]
mod gpu {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::tensor::{Device, DeviceType, Tensor};

    use super::{Failure, Result};

    /// An adapter that was found and not yet opened.
    struct Candidate {
        device: Device,
        hardware: bool,
    }

    pub fn hardware() -> std::result::Result<(Device, String), String> {
        let mut why = String::from("no hardware GPU found");
        for candidate in candidates()
            .into_iter()
            .filter(|candidate| candidate.hardware)
        {
            match open(&candidate.device) {
                Ok(name) => return Ok((candidate.device, name)),
                Err(error) => why = format!("the GPU does not work: {error}"),
            }
        }
        Err(why)
    }

    pub fn numbered(number: usize) -> Result<(Device, String)> {
        let mut candidates = candidates();
        if number >= candidates.len() {
            let got = match candidates.len() {
                0 => "no GPU on this machine (is a Vulkan driver installed?)".to_owned(),
                1 => "one GPU on this machine, gpu:0".to_owned(),
                count => format!("{count} GPUs on this machine, gpu:0 to gpu:{}", count - 1),
            };
            return Err(Failure::mismatch("device", format!("gpu:{number}"), got));
        }
        let device = candidates.swap_remove(number).device;
        let name = open(&device).map_err(|error| {
            Failure::usage(format!("device gpu:{number} does not work: {error}"))
        })?;
        Ok((device, name))
    }

    /// Every adapter, hardware first; none where there is no driver to ask.
    fn candidates() -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        #[cfg(feature = "cuda")]
        for device in quietly(|| Device::enumerate(DeviceType::Cuda).into_vec()).unwrap_or_default()
        {
            found.push(Candidate {
                device,
                hardware: true,
            });
        }
        #[cfg(feature = "gpu")]
        {
            let software = Device::vulkan(burn::tensor::DeviceKind::Cpu);
            let listed = quietly(|| Device::enumerate(DeviceType::Vulkan).into_vec());
            for device in listed.unwrap_or_default() {
                let hardware = device != software;
                found.push(Candidate { device, hardware });
            }
        }
        found.sort_by_key(|candidate| !candidate.hardware);
        found
    }

    /// Opens the device and lets it add two numbers, since a driver that can be listed can
    /// still fail to start.
    fn open(device: &Device) -> std::result::Result<String, String> {
        quietly(|| {
            let name = device
                .identity()
                .map_or_else(|| "unnamed".to_owned(), |who| who.name);
            // An addition, not a sum: reductions crash inside some software drivers.
            let sum = Tensor::<1>::ones([1], device) + 1.0;
            let works = sum.try_into_vec_as::<f32>().is_ok_and(|sum| sum == [2.0]);
            (name, works)
        })
        .and_then(|(name, works)| {
            if works {
                Ok(name)
            } else {
                Err(format!("{name} computes 1 + 1 wrongly"))
            }
        })
    }

    /// Run what may panic inside the GPU stack (it does where a driver is broken) and turn the
    /// panic into an error, without its backtrace on the user's screen.
    fn quietly<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = catch_unwind(AssertUnwindSafe(work));
        std::panic::set_hook(hook);
        result.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "the driver failed".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_read() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("gpu".parse(), Ok(DeviceChoice::Gpu(None)));
        assert_eq!("gpu:2".parse(), Ok(DeviceChoice::Gpu(Some(2))));
        for wrong in ["", "gpu:", "gpu:-1", "cuda", "GPU"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert!(choose(DeviceChoice::Cpu).is_ok_and(|chosen| chosen.kind == "cpu"));
    }
}
