//! What images are conditioned on: the arguments that only the model can judge.

use std::path::Path;

use npyz::{DType, NpyFile};
use unclouded_core::generate::Guidance;
use unclouded_core::model::Model;

use crate::cli::GenerateArgs;
use crate::failure::{Failure, Result};

/// The number of a class, as asked.
///
/// # Errors
/// Exit 2 for a class the model does not know, or none where it needs one.
pub fn class(model: &Model, asked: Option<&str>) -> Result<Option<usize>> {
    let architecture = &model.card.architecture;
    let (count, asked) = match (architecture.classes(), asked) {
        (None, None) => return Ok(None),
        (None, Some(asked)) => {
            return Err(
                Failure::mismatch("--class", "no class for this model", asked)
                    .hint("the model was trained without classes"),
            );
        }
        (Some(_), None) if !architecture.needs_class() => return Ok(None),
        (Some(count), None) => {
            return Err(Failure::mismatch(
                "--class",
                format!("a class, 0 to {}", count.saturating_sub(1)),
                "none",
            )
            .hint("the model makes images of a class only: add --class N"));
        }
        (Some(count), Some(asked)) => (count, asked),
    };
    let names = model.class_names();
    let named = names
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(asked))
        .map(|(number, _)| *number);
    let number = named.or_else(|| asked.parse().ok());
    if let Some(number) = number.filter(|number| *number < count) {
        return Ok(Some(number));
    }
    let expected = format!("a number from 0 to {} or a name the model knows", count - 1);
    let names: Vec<&str> = names.values().map(String::as_str).collect();
    Err(
        Failure::mismatch("--class", expected, asked).hint(match names.is_empty() {
            true => "this model's classes have numbers only".to_owned(),
            false => format!("it knows {}", names.join(", ")),
        }),
    )
}

/// Guidance towards the class, as asked.
///
/// # Errors
/// Exit 2 for a weight out of range, or a label of "any class" that is missing or unknown.
pub fn guidance(model: &Model, args: &GenerateArgs) -> Result<Option<Guidance>> {
    let Some(weight) = args.guidance else {
        return Ok(None);
    };
    if !weight.is_finite() || weight.abs() > 1000.0 {
        return Err(
            Failure::mismatch("--guidance", "a number up to 1000", weight).hint("1 to 4 are usual"),
        );
    }
    // Our own network can do without a label; one of diffusers needs one that means "any".
    let architecture = &model.card.architecture;
    let own = architecture.unet().is_some();
    let known = architecture
        .classes()
        .unwrap_or(if own { 0 } else { usize::MAX });
    if !args.null_class.map_or(own, |null| null < known) {
        let got = args
            .null_class
            .map_or("none".to_owned(), |null| null.to_string());
        return Err(Failure::mismatch(
            "--null-class",
            "the class that means \"any\" to the model, for --guidance",
            got,
        )
        .hint("where a model was trained with one, it is usually the last"));
    }
    Ok(Some(Guidance {
        weight,
        null_class: args.null_class,
    }))
}

/// The vector the model is conditioned on, as asked.
///
/// # Errors
/// Exit 2 if there is one too many or too few, or it is of another length.
pub fn embedding(model: &Model, path: Option<&Path>) -> Result<Option<Vec<f32>>> {
    match (model.card.architecture.vector_len(), path) {
        (None, None) => Ok(None),
        (None, Some(path)) => {
            Err(
                Failure::mismatch("--embedding", "no vector for this model", path.display())
                    .hint("only models with class_embed_type = \"identity\" take one"),
            )
        }
        (Some(length), None) => Err(Failure::mismatch(
            "--embedding",
            format!("a vector of {length} numbers"),
            "none",
        )
        .hint("the model is conditioned on a vector: --embedding V.npy")),
        (Some(length), Some(path)) => {
            let vector = read_vector(path)?;
            if vector.len() != length || vector.iter().any(|v| !v.is_finite()) {
                let got = format!("{} in {}", vector.len(), path.display());
                let wanted = format!("{length} finite numbers");
                return Err(Failure::mismatch("--embedding", wanted, got)
                    .hint("the vector has the size of the model's time embedding"));
            }
            Ok(Some(vector))
        }
    }
}

fn read_vector(path: &Path) -> Result<Vec<f32>> {
    let broken = |got: String| {
        Failure::mismatch(
            "--embedding",
            "a one-dimensional .npy of float32 or float64",
            format!("{} ({got})", path.display()),
        )
        .hint("numpy.save(\"V.npy\", vector.astype(\"float32\"))")
    };
    let bytes = std::fs::read(path).map_err(|error| broken(error.to_string()))?;
    let file = NpyFile::new(bytes.as_slice()).map_err(|error| broken(error.to_string()))?;
    if file.shape().len() != 1 {
        return Err(broken(format!("shape {:?}", file.shape())));
    }
    let kind = match file.dtype() {
        DType::Plain(kind) => kind.to_string(),
        other => return Err(broken(format!("{other:?}"))),
    };
    let read = match kind.as_str() {
        "<f4" => file.into_vec::<f32>(),
        "<f8" => file
            .into_vec::<f64>()
            .map(|values| values.into_iter().map(|v| v as f32).collect()),
        other => return Err(broken(other.to_owned())),
    };
    read.map_err(|error| broken(error.to_string()))
}
