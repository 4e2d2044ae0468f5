//! The keys of a `config.json`, taken one by one with their types checked.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Block, ClassEmbedding};
use crate::error::{Error, Hint, Result};

/// The keys of a JSON object that were not looked at yet.
pub(super) struct Keys(pub(super) Map<String, Value>);

impl Keys {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let broken = |e: String| Error::Checkpoint {
            what: format!("unet config: expected a JSON object, got {e}"),
            hint: Hint::Advice("config.json may be truncated; copy the folder again"),
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            Ok(other) => Err(broken(other.to_string())),
            Err(error) => Err(broken(error.to_string())),
        }
    }

    /// The value of a key; null counts as left out.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|error| unsupported(key, &value.to_string(), &error.to_string())),
        }
    }

    /// As [`take`](Self::take) for a key where null means something.
    pub(super) fn take_or_null<T: DeserializeOwned>(
        &mut self,
        key: &str,
        default: Option<T>,
    ) -> Result<Option<T>> {
        match self.0.get(key) {
            Some(Value::Null) => {
                self.0.remove(key);
                Ok(None)
            }
            Some(_) => self.take(key, None),
            None => Ok(default),
        }
    }

    pub(super) fn check(
        &self,
        key: &str,
        ok: bool,
        value: &impl Serialize,
        expected: &str,
    ) -> Result<()> {
        match ok {
            true => Ok(()),
            false => Err(unsupported(key, &json!(value).to_string(), expected)),
        }
    }

    /// The position of a key's value in `known`.
    pub(super) fn one_of(&mut self, key: &str, default: &str, known: &[&str]) -> Result<usize> {
        let value: String = self.take(key, default.to_owned())?;
        known
            .iter()
            .position(|name| *name == value)
            .ok_or_else(|| unsupported(key, &value, &known.join(", ")))
    }

    pub(super) fn size(&mut self, key: &str) -> Result<Option<(usize, usize)>> {
        match self.0.get(key) {
            Some(Value::Number(_)) => Ok(self.take(key, None)?.map(|side| (side, side))),
            _ => self.take(key, None),
        }
    }

    pub(super) fn blocks(
        &mut self,
        key: &str,
        known: &[&str; 3],
        default: Vec<Block>,
    ) -> Result<Vec<Block>> {
        let Some(names): Option<Vec<String>> = self.take(key, None)? else {
            return Ok(default);
        };
        let block = |name: &String| {
            // Before they were renamed, files called them UNetResDownBlock2D and so on.
            let short = name.strip_prefix("UNetRes").unwrap_or(name);
            match known.iter().position(|known| *known == short) {
                Some(0) => Ok(Block::Plain),
                Some(1) => Ok(Block::Attention),
                Some(_) => Ok(Block::Resnet),
                None => Err(unsupported(key, name, &known.join(", "))),
            }
        };
        names.iter().map(block).collect()
    }

    pub(super) fn mid_block(&mut self) -> Result<bool> {
        let default = Some("UNetMidBlock2D".to_owned());
        match self.take_or_null("mid_block_type", default)? {
            None => Ok(false),
            Some(name) if name == "UNetMidBlock2D" => Ok(true),
            Some(name) => Err(unsupported("mid_block_type", &name, "UNetMidBlock2D, null")),
        }
    }

    pub(super) fn class_embedding(&mut self) -> Result<Option<ClassEmbedding>> {
        let kind: Option<String> = self.take("class_embed_type", None)?;
        let classes: Option<usize> = self.take("num_class_embeds", None)?;
        match kind.as_deref() {
            None => Ok(classes.map(ClassEmbedding::Table)),
            Some("timestep") => Ok(Some(ClassEmbedding::Timestep)),
            Some("identity") => Ok(Some(ClassEmbedding::Identity)),
            Some(other) => Err(unsupported(
                "class_embed_type",
                other,
                "null, timestep, identity",
            )),
        }
    }
}

/// The error for a value that is not supported.
pub(super) fn unsupported(key: &str, value: &str, supported: &str) -> Error {
    Error::Checkpoint {
        what: format!("unet config: {key}: expected {supported}, got {value}"),
        hint: Hint::Advice("the model uses a part of diffusers that is not built here"),
    }
}
