//! The U-Net against its PyTorch twin (arrays made by `reference/unet.py`), and the sizes of
//! the thesis's networks.

mod golden;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use golden::{bytes, max_abs_diff};
use unclouded_core::network::params::{self, Array, Arrays};
use unclouded_core::network::unet::UNetConfig;

const TOLERANCE: f64 = 1e-4;

fn tensor<const D: usize>(array: &Array, device: &Device) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, device)
}

fn check(name: &str, device: &Device) {
    let (arrays, metadata) = params::from_bytes(&bytes("unet")).unwrap();
    let config: UNetConfig = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    // As Model::load does: every name and shape must be the network's own, none left over.
    let unet = params::assign(config.init(device).unwrap(), &weights).unwrap();
    assert_eq!(params::collect(&unet), weights);

    let array = |part: &str| &arrays[&format!("{name}.{part}")];
    let label = config
        .classes
        .map(|_| tensor::<1>(array("label"), device).int());
    let label: Option<Tensor<1, Int>> = label;
    let y = unet.forward(
        tensor(array("x"), device),
        tensor(array("c_noise"), device),
        label,
    );
    assert_eq!(y.dims().to_vec(), array("y").shape);
    let got: Vec<f64> = y.into_data().iter::<f64>().collect();
    let expected: Vec<f64> = array("y").values.iter().map(|v| f64::from(*v)).collect();
    let diff = max_abs_diff(&got, &expected);
    println!("{name}: {diff:.1e}");
    assert!(diff < TOLERANCE, "{name}: {diff:e}");
}

#[test]
fn three_levels_with_conditioning() {
    check("plain", &Device::flex());
}

#[test]
fn stem_and_attention_with_four_heads() {
    check("stem_attention", &Device::flex());
}

#[test]
fn class_input_and_one_head() {
    check("class", &Device::flex());
}

#[test]
fn thesis_networks_have_their_size() {
    let (_, metadata) = params::from_bytes(&bytes("unet")).unwrap();
    for (name, config, expected) in [
        ("thesis_clouds", UNetConfig::thesis_clouds(3, 0), 92_025_731),
        (
            "thesis_generation",
            UNetConfig::thesis_generation(3),
            158_534_659,
        ),
    ] {
        let count = config.init(&Device::flex()).unwrap().num_params();
        assert_eq!(count, expected, "{name}");
        assert_eq!(
            metadata[&format!("{name}.parameters")],
            count.to_string(),
            "{name}, the twin's"
        );
    }
}
