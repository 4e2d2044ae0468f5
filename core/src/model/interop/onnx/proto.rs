//! The wire format of Protocol Buffers, as much of it as an ONNX file needs.
//!
//! A message is a row of fields; a field is its number and kind as a varint, then a varint, or a
//! length and that many bytes (protobuf.dev, "Encoding").

/// A message in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

/// Kind of a field whose value is a varint.
const VARINT: u64 = 0;
/// Kind of a field whose value is a length and bytes.
const BYTES: u64 = 2;
/// Kind of a field whose value is four bytes.
const FIXED32: u64 = 5;

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// An integer field; negative ones take ten bytes.
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value as u64);
        self
    }

    /// A 32-bit float field.
    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A field of bytes.
    pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text field.
    pub(super) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A field that is a message.
    pub(super) fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// The same field several times.
    pub(super) fn messages<'a>(
        self,
        field: u64,
        values: impl IntoIterator<Item = &'a Message>,
    ) -> Self {
        values
            .into_iter()
            .fold(self, |message, value| message.message(field, value))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        // protobuf.dev: field 1 = 150; field 2 = "testing"; field 3 = { field 1 = 150 }.
        let inner = Message::default().int(1, 150);
        assert_eq!(inner.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(text.into_bytes(), b"\x12\x07testing");
        let outer = Message::default().message(3, &inner);
        assert_eq!(outer.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let minus = Message::default().int(1, -2);
        assert_eq!(
            minus.into_bytes(),
            b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        );
        let float = Message::default().float(1, 1.0);
        assert_eq!(float.into_bytes(), [0x0d, 0, 0, 0x80, 0x3f]);
    }
}
