//! The structure of an exported file, read back with a reader that shares no code with the writer.

use std::collections::{HashMap, HashSet};

use burn::tensor::Device;

use super::*;
use crate::model::Model;
use crate::model::bundled;
use crate::network::params;

/// One field of a message: a number, or bytes.
#[derive(Debug, Clone)]
enum Field {
    Int(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message by number, in order.
fn fields(mut bytes: &[u8]) -> HashMap<u64, Vec<Field>> {
    let varint = |bytes: &mut &[u8]| {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a whole varint");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return value;
            }
        }
        panic!("a varint of more than ten bytes");
    };
    let mut found: HashMap<u64, Vec<Field>> = HashMap::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Int(varint(&mut bytes)),
            kind => {
                let length = if kind == 5 {
                    4
                } else {
                    varint(&mut bytes) as usize
                };
                assert!(matches!(kind, 2 | 5) && length <= bytes.len());
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value.to_vec())
            }
        };
        found.entry(tag >> 3).or_default().push(field);
    }
    found
}

fn texts(message: &HashMap<u64, Vec<Field>>, field: u64) -> Vec<String> {
    let all = message.get(&field).into_iter().flatten();
    all.map(|field| match field {
        Field::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Field::Int(_) => panic!("expected bytes"),
    })
    .collect()
}

fn messages(message: &HashMap<u64, Vec<Field>>, field: u64) -> Vec<HashMap<u64, Vec<Field>>> {
    let all = message.get(&field).into_iter().flatten();
    all.map(|field| match field {
        Field::Bytes(bytes) => fields(bytes),
        Field::Int(_) => panic!("expected a message"),
    })
    .collect()
}

fn ints(message: &HashMap<u64, Vec<Field>>, field: u64) -> Vec<u64> {
    let all = message.get(&field).into_iter().flatten();
    all.map(|field| match field {
        Field::Int(value) => *value,
        Field::Bytes(_) => panic!("expected a number"),
    })
    .collect()
}

#[test]
fn every_value_is_made_before_it_is_used_and_every_weight_is_there() {
    let model = Model::load(bundled()[0].1, &Device::flex()).unwrap();
    let file = fields(&export(&model).unwrap());
    assert_eq!(ints(&file, 1), [8]);
    assert_eq!(ints(&messages(&file, 8)[0], 2), [17]);
    let about: Vec<String> = messages(&file, 14)
        .iter()
        .flat_map(|m| texts(m, 1))
        .collect();
    assert_eq!(
        about,
        ["unclouded.model_card", "unclouded.checkpoint_sha256"]
    );

    let graph = &messages(&file, 7)[0];
    let inputs: Vec<String> = messages(graph, 11)
        .iter()
        .flat_map(|m| texts(m, 1))
        .collect();
    assert_eq!(inputs, ["x", "conditioning", "sigma"]);
    let outputs: Vec<String> = messages(graph, 12)
        .iter()
        .flat_map(|m| texts(m, 1))
        .collect();
    assert_eq!(outputs, ["denoised"]);

    let weights = model.network.arrays();
    let mut known: HashSet<String> = inputs.into_iter().collect();
    let mut found = 0;
    for constant in messages(graph, 5) {
        let name = texts(&constant, 8).swap_remove(0);
        let values: u64 = ints(&constant, 1).iter().product();
        let Field::Bytes(raw) = &constant[&9][0] else {
            panic!("raw data is bytes");
        };
        let bytes = if ints(&constant, 2) == [7] { 8 } else { 4 };
        assert_eq!(raw.len() as u64, bytes * values, "{name}");
        if let Some(array) = weights.get(&name) {
            let expected: Vec<u8> = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert!(*raw == expected, "{name}");
            found += 1;
        }
        assert!(known.insert(name.clone()), "{name} twice");
    }
    assert_eq!(found, weights.len());

    let mut used = HashSet::new();
    for node in messages(graph, 1) {
        for input in texts(&node, 1) {
            assert!(
                input.is_empty() || known.contains(&input),
                "{input} is not made yet"
            );
            used.insert(input);
        }
        for output in texts(&node, 2) {
            assert!(known.insert(output.clone()), "{output} twice");
        }
    }
    assert!(known.contains("denoised"));
    let idle: Vec<&String> = weights
        .keys()
        .filter(|name| !used.contains(*name))
        .collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn networks_with_timesteps_and_classes_have_those_inputs() {
    let model = Model::load(bundled()[0].1, &Device::flex()).unwrap();
    let mut card = model.card;
    card.conditioning = Conditioning::None;
    let architecture = UNetConfig {
        bands: 3,
        base_channels: 8,
        multipliers: vec![1, 2],
        middle_attention: true,
        attention_levels: vec![],
        heads: 2,
        stem: 1,
        classes: Some(4),
        ..UNetConfig::default()
    };
    card.prediction = Prediction::V;
    let network = architecture.init(&Device::flex()).unwrap();
    let weights = params::collect(&network);
    card.architecture = architecture.into();
    // The karras schedule of the card has no timesteps.
    assert!(denoiser(&card, &weights, "").is_err());
    card.schedule = crate::diffusion::schedule::Schedule::Cosine { timesteps: 100 };
    let file = fields(&denoiser(&card, &weights, "").unwrap());
    let graph = &messages(&file, 7)[0];
    let inputs: Vec<String> = messages(graph, 11)
        .iter()
        .flat_map(|m| texts(m, 1))
        .collect();
    assert_eq!(inputs, ["x", "timestep", "class"]);
    let mut fewer = weights.clone();
    fewer.remove("mid1.conv1.bias");
    let error = denoiser(&card, &fewer, "").expect_err("a weight is missing");
    assert!(error.to_string().contains("mid1.conv1.bias"));
}
