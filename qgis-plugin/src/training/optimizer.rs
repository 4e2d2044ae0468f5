//! AdamW with a global gradient-norm clip and the exponential moving average of the weights.
//!
//! Written here because burn's AdamW clips each parameter on its own, keeps no average, and
//! keys its state by ids that a restarted process does not have; this one keys it by name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use unclouded_core::network::params::{Array, Arrays};

/// AdamW (Loshchilov & Hutter 2019) as PyTorch computes it.
#[derive(Debug, Clone, Copy)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, a share of the learning rate.
    pub weight_decay: f64,
    /// Largest global norm of the gradient.
    pub grad_clip: f64,
    /// Decay of the moving average after its warm-up.
    pub ema_decay: f64,
}

/// What the optimiser remembers about one parameter, each flattened.
struct State {
    m: Tensor<1>,
    v: Tensor<1>,
    ema: Tensor<1>,
}

/// The optimiser: settings, step count and state by parameter name.
pub struct AdamW {
    settings: AdamWSettings,
    steps: u64,
    state: BTreeMap<String, State>,
}

impl AdamW {
    /// A fresh optimiser; the average starts at the first weights it sees.
    pub fn new(settings: AdamWSettings) -> Self {
        Self {
            settings,
            steps: 0,
            state: BTreeMap::new(),
        }
    }

    /// One step: clips the gradients to the global norm, moves the parameters and their
    /// average. Nothing is read back to the host.
    pub fn step<M: Module>(&mut self, module: M, grads: &Gradients, learning_rate: f64) -> M {
        let mut norm = NormVisitor { grads, sum: None };
        module.visit(&mut norm);
        let Some(sum) = norm.sum else { return module };
        let clip = (sum.sqrt() + 1e-6).recip() * self.settings.grad_clip;
        self.steps += 1;
        module.map(&mut Updater {
            optimizer: self,
            grads,
            clip: clip.clamp_max(1.0),
            learning_rate,
            path: Vec::new(),
        })
    }

    /// The averaged weights, in the shapes of `like`.
    pub fn ema(&self, like: &Arrays) -> Arrays {
        like.iter()
            .map(|(name, array)| {
                let values = match self.state.get(name) {
                    Some(state) => host(&state.ema),
                    None => array.values.clone(),
                };
                (
                    name.clone(),
                    Array {
                        shape: array.shape.clone(),
                        values,
                    },
                )
            })
            .collect()
    }

    /// State as arrays (`NAME.m`, `NAME.v`, `NAME.ema`) and the number of steps taken.
    pub fn save(&self) -> (Arrays, u64) {
        let mut arrays = Arrays::new();
        for (name, state) in &self.state {
            for (suffix, tensor) in [("m", &state.m), ("v", &state.v), ("ema", &state.ema)] {
                let values = host(tensor);
                arrays.insert(
                    format!("{name}.{suffix}"),
                    Array {
                        shape: vec![values.len()],
                        values,
                    },
                );
            }
        }
        (arrays, self.steps)
    }

    /// Restores what [`save`](Self::save) gave; parameters without a full set start afresh.
    pub fn load(&mut self, arrays: &Arrays, steps: u64, device: &Device) {
        self.steps = steps;
        self.state.clear();
        let tensor = |name: String| {
            let array = arrays.get(&name)?;
            let data = TensorData::new(array.values.clone(), [array.values.len()]);
            Some(Tensor::<1>::from_data(data, device))
        };
        for key in arrays.keys() {
            let Some(name) = key.strip_suffix(".ema") else {
                continue;
            };
            let parts = (
                tensor(format!("{name}.m")),
                tensor(format!("{name}.v")),
                tensor(key.clone()),
            );
            if let (Some(m), Some(v), Some(ema)) = parts {
                self.state.insert(name.to_owned(), State { m, v, ema });
            }
        }
    }
}

fn host(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

struct NormVisitor<'a> {
    grads: &'a Gradients,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for NormVisitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(self.grads) {
            let square = grad.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Updater<'a> {
    optimizer: &'a mut AdamW,
    grads: &'a Gradients,
    clip: Tensor<1>,
    learning_rate: f64,
    path: Vec<String>,
}

impl ModuleMapper for Updater<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = param.val();
        let Some(grad) = value.grad(self.grads) else {
            return param;
        };
        let shape = value.shape();
        let AdamWSettings {
            beta1,
            beta2,
            eps,
            weight_decay,
            ema_decay,
            ..
        } = self.optimizer.settings;
        let steps = self.optimizer.steps;
        let weight = value.inner().flatten::<1>(0, D - 1);
        let grad = grad.flatten::<1>(0, D - 1) * self.clip.clone();
        let name = self.path.join(".");
        let (m, v, ema) = match self.optimizer.state.remove(&name) {
            Some(state) => (state.m, state.v, state.ema),
            None => (weight.zeros_like(), weight.zeros_like(), weight.clone()),
        };
        let m = m * beta1 + grad.clone() * (1.0 - beta1);
        let v = v * beta2 + grad.square() * (1.0 - beta2);
        // Bias correction folded into the step size and epsilon, as PyTorch does.
        let correction1 = 1.0 - beta1.powf(steps as f64);
        let correction2 = (1.0 - beta2.powf(steps as f64)).sqrt();
        let denominator = v.clone().sqrt() * (1.0 / correction2) + eps;
        let weight = weight * (1.0 - self.learning_rate * weight_decay)
            - m.clone() / denominator * (self.learning_rate / correction1);
        // Warm-up (1 + n) / (10 + n): early weights are not worth remembering.
        let n = steps as f64;
        let decay = ema_decay.min((1.0 + n) / (10.0 + n));
        let ema = ema * decay + weight.clone() * (1.0 - decay);
        self.optimizer.state.insert(name, State { m, v, ema });
        let updated = Tensor::from_inner(weight.reshape(shape)).require_grad();
        param.map(|_| updated)
    }
}
