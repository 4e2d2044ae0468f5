//! Stacks of masks in NumPy's .npy files, of any origin: nothing is believed that the bytes do not
//! show, and nothing is allocated for what they only promise.
//!
//! Layout: the NumPy manual, "numpy.lib.format", versions 1.0 to 3.0.

use std::path::Path;

/// First bytes of every .npy file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own headers are below a kilobyte, whatever the length field says.
const LONGEST_HEADER: usize = 1 << 16;
/// Larger files are no masks.
const LARGEST_FILE: u64 = 1 << 30;

/// Frames of one byte a pixel, row by row, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack<'a> {
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// All values; a whole number of frames, at least one.
    pub values: &'a [u8],
}

/// The bytes of a file, if it is small enough for a stack.
///
/// # Errors
/// What the file is instead.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("an unreadable file ({error})");
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST_FILE {
        return Err(format!("a file of {size} bytes"));
    }
    std::fs::read(path).map_err(unreadable)
}

impl<'a> Stack<'a> {
    /// Reads `[N, H, W]` or `[N, H, W, 1]` of uint8 or bool.
    ///
    /// # Errors
    /// What the bytes are instead.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let no_npy = || "no .npy file".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(no_npy)?;
        let (length, rest) = match *rest {
            [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
            [2 | 3, _, a, b, c, d, ref rest @ ..] => {
                (u32::from_le_bytes([a, b, c, d]) as usize, rest)
            }
            _ => return Err(no_npy()),
        };
        if length > LONGEST_HEADER || length > rest.len() {
            return Err(format!("a header of {length} bytes"));
        }
        let (header, values) = rest.split_at(length);
        let header = std::str::from_utf8(header).map_err(|_| "a header that is no text")?;
        let header = Header::parse(header).ok_or("a damaged header")?;
        if !["u1", "b1"].contains(&header.descr.trim_start_matches(['|', '<', '>', '='])) {
            return Err(format!("type {}", header.descr));
        }
        if header.fortran_order {
            return Err("column-major order".into());
        }
        let shape = header.shape;
        let (count, height, width) = match shape[..] {
            [n, h, w] | [n, h, w, 1] if n > 0 && h > 0 && w > 0 => (n, h, w),
            _ => return Err(format!("shape {shape:?}")),
        };
        let plane = height.checked_mul(width);
        let Some(total) = plane.and_then(|plane| plane.checked_mul(count)) else {
            return Err(format!("shape {shape:?}, too large"));
        };
        match values.get(..total) {
            Some(values) => Ok(Stack {
                height,
                width,
                values,
            }),
            None => Err(format!(
                "{} values for shape {shape:?}: the file is cut off",
                values.len()
            )),
        }
    }

    /// Frame by frame.
    pub fn frames(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values.chunks_exact(self.height * self.width)
    }
}

/// What a header says: a Python dictionary of three items.
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// None for anything but the three items, each once; structured types are not read.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let mut rest = text.strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" if descr.is_none() => {
                    let (text, rest) = quoted(value)?;
                    descr = Some(text);
                    rest
                }
                "fortran_order" if fortran_order.is_none() => {
                    let (order, rest) = match value.strip_prefix("False") {
                        Some(rest) => (false, rest),
                        None => (true, value.strip_prefix("True")?),
                    };
                    fortran_order = Some(order);
                    rest
                }
                "shape" if shape.is_none() => {
                    let (inside, rest) = value.strip_prefix('(')?.split_once(')')?;
                    shape = Some(sizes(inside)?);
                    rest
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Header {
            descr: descr?,
            fortran_order: fortran_order?,
            shape: shape?,
        })
    }
}

/// A quoted text and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"')?;
    text[1..].split_once(quote)
}

/// `68, 101, 100` with or without a comma at the end; NumPy has at most 64 dimensions.
fn sizes(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').take(65).collect();
    let sizes = parts.iter().map(|part| part.trim().parse().ok());
    sizes
        .collect::<Option<Vec<usize>>>()
        .filter(|sizes| sizes.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, values: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        for (header, height, width) in [
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 3), }   \n",
                1,
                3,
            ),
            (
                "{\"shape\": (1, 3, 2, 1), \"descr\": \"|b1\", \"fortran_order\": False}",
                3,
                2,
            ),
        ] {
            let file = npy(header, &[0, 1, 1, 0, 0, 1]);
            let stack = Stack::parse(&file).expect(header);
            assert_eq!((stack.height, stack.width), (height, width));
            assert_eq!(stack.values, [0, 1, 1, 0, 0, 1]);
            assert_eq!(stack.frames().count(), 6 / (height * width));
        }
    }

    #[test]
    fn what_is_no_stack_is_named() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        let nested = "(".repeat(60_000);
        for (header, named) in [
            (header("'<f4'", "False", "(1, 2, 2)"), "type <f4"),
            (header("'|u1'", "True", "(1, 2, 2)"), "column-major"),
            (header("'|u1'", "False", "(2, 2)"), "shape [2, 2]"),
            (header("'|u1'", "False", "()"), "shape []"),
            (header("'|u1'", "False", "(0, 2, 2)"), "shape [0, 2, 2]"),
            (header("'|u1'", "False", "(1, 2, 3)"), "cut off"),
            (
                header("'|u1'", "False", "(4294967296, 4294967296, 4294967296)"),
                "too large",
            ),
            (
                header("'|u1'", "False", "(1, 2, 99999999999999999999)"),
                "damaged",
            ),
            (header("'|u1'", "False", "(1, -2, 2)"), "damaged"),
            (header("[('a', '|u1')]", "False", "(1, 2, 2)"), "damaged"),
            (header("'|u1'", "False", &nested), "damaged"),
            ("{'descr': '|u1', 'shape': (1, 2, 2)}".into(), "damaged"),
            (String::new(), "damaged"),
        ] {
            let file = npy(&header, &[0; 4]);
            let got = Stack::parse(&file).expect_err("no stack");
            assert!(got.contains(named), "{named}: {got}");
        }
        for file in [
            &b""[..],
            b"\x93NUMPY",
            b"\x93NUMPY\x01\x00\xff\xff{}",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
            b"\x93NUMPY\x09\x00\x02\x00{}",
            b"PK\x03\x04",
        ] {
            assert!(Stack::parse(file).is_err(), "{file:?}");
        }
    }
}
