//! Whether a run may go on with a recipe: only what does not change what is learnt may differ.

use std::path::Path;

use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::recipe::TrainConfig;

/// What may change between two parts of a run: how long it is, what is written when, and what is
/// only told of the model.
const FREE: [&str; 11] = [
    "diffusion.defaults",
    "diffusion.direct_factor",
    "diffusion.uncertainty_factor",
    "output",
    "train.steps",
    "train.log_every",
    "train.validate_every_steps",
    "train.validate_tiles",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.init",
];

/// The recipe as it is compared and kept in the state: of files only their names, so that a run
/// may go on where they lie in another folder.
///
/// # Errors
/// Exit 1 if it cannot be written, which no recipe that was read is.
pub fn of(config: &TrainConfig) -> Result<Value> {
    let mut recipe = serde_json::to_value(config)
        .map_err(|error| Failure::failed(format!("recipe: {error}")))?;
    for field in ["/data/sources", "/masks/files"] {
        let paths = recipe.pointer_mut(field).and_then(Value::as_array_mut);
        for path in paths.into_iter().flatten() {
            let name = path.as_str().and_then(|path| Path::new(path).file_name());
            if let Some(name) = name {
                *path = name.to_string_lossy().into();
            }
        }
    }
    Ok(recipe)
}

/// Fails where a recipe differs from that of the run that is to go on.
///
/// # Errors
/// Exit 2, naming what differs.
pub fn check(earlier: &Value, now: &Value) -> Result<()> {
    let mut differing = Vec::new();
    compare("", earlier, now, &mut differing);
    if differing.is_empty() {
        return Ok(());
    }
    Err(Failure::mismatch(
        "--resume",
        "the recipe of the run that is to go on",
        differing.join("; "),
    )
    .hint("start a run of its own in another [output] dir; --force goes on all the same"))
}

/// Collects the fields in which two recipes differ, as `train.batch: 8, was 16`.
fn compare(path: &str, earlier: &Value, now: &Value, differing: &mut Vec<String>) {
    if FREE.contains(&path) || earlier == now {
        return;
    }
    let (Value::Object(a), Value::Object(b)) = (earlier, now) else {
        differing.push(format!("{path}: {now}, was {earlier}"));
        return;
    };
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let deeper = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        let value = |object: &serde_json::Map<String, Value>| {
            object.get(key).cloned().unwrap_or(Value::Null)
        };
        compare(&deeper, &value(a), &value(b), differing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_and_what_is_free_is_not() {
        let earlier = json!({"train": {"batch": 8, "steps": 100}, "output": {"dir": "a"}});
        let longer = json!({"train": {"batch": 8, "steps": 200}, "output": {"dir": "b"}});
        assert!(check(&earlier, &longer).is_ok());
        let other = json!({"train": {"batch": 16, "steps": 100}, "task": "cold"});
        let failure = check(&earlier, &other).expect_err("another batch");
        assert_eq!(failure.exit as u8, 2);
        assert!(
            failure.message.contains("train.batch: 16, was 8"),
            "{failure}"
        );
        assert!(failure.message.contains("task"), "{failure}");
        assert!(!failure.message.contains("steps"), "{failure}");
    }
}
