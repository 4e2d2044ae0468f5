//! An ONNX graph in the making: nodes, constants, inputs and outputs (onnx.proto, IR version 8).

use super::proto::Message;

/// Numbers of the element types (`TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Float = 1,
    Int64 = 7,
}

/// A size in a declared shape.
#[derive(Debug, Clone)]
pub(super) enum Size {
    Fixed(usize),
    Named(&'static str),
}

/// An attribute of a node.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Int(&'static str, i64),
    Float(&'static str, f32),
    Ints(&'static str, Vec<i64>),
    Text(&'static str, &'static str),
}

/// The name of a value in the graph.
pub(super) type Value = String;

/// The version of the operators that are used.
const OPSET: i64 = 17;
/// The version of the file format; the first with opset 17.
const IR_VERSION: i64 = 8;

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    count: usize,
}

impl Graph {
    /// Declares an input.
    pub(super) fn input(&mut self, name: &str, element: Element, shape: &[Size]) -> Value {
        self.inputs.push(value_info(name, element, shape));
        name.to_owned()
    }

    /// Declares `value` as the output of the graph, called `name`.
    pub(super) fn output(&mut self, name: &str, value: &str, shape: &[Size]) {
        self.nodes.push(node("Identity", &[value], &[name], &[]));
        self.outputs.push(value_info(name, Element::Float, shape));
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, Element::Float, shape, &raw)
    }

    /// A constant of whole numbers, one-dimensional.
    pub(super) fn ints(&mut self, values: &[i64]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = self.fresh("ints");
        self.constant(&name, Element::Int64, &[values.len()], &raw)
    }

    /// A constant scalar.
    pub(super) fn scalar(&mut self, value: f64) -> Value {
        let name = self.fresh("scalar");
        self.floats(&name, &[], &[value as f32])
    }

    fn constant(&mut self, name: &str, element: Element, shape: &[usize], raw: &[u8]) -> Value {
        let mut tensor = Message::default();
        for size in shape {
            tensor = tensor.int(1, *size as i64);
        }
        self.constants
            .push(tensor.int(2, element as i64).text(8, name).bytes(9, raw));
        name.to_owned()
    }

    /// A node with one output.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], attributes: &[Attribute]) -> Value {
        let output = self.fresh(op);
        self.nodes.push(node(op, inputs, &[&output], attributes));
        output
    }

    /// A node with several outputs.
    pub(super) fn node_with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[Attribute],
        outputs: usize,
    ) -> Vec<Value> {
        let names: Vec<Value> = (0..outputs).map(|_| self.fresh(op)).collect();
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        self.nodes.push(node(op, inputs, &outputs, attributes));
        names
    }

    fn fresh(&mut self, what: &str) -> Value {
        self.count += 1;
        format!("{what}_{}", self.count)
    }

    /// The whole file.
    pub(super) fn into_bytes(
        self,
        name: &str,
        version: &str,
        about: &[(String, String)],
    ) -> Vec<u8> {
        let graph = Message::default()
            .messages(1, &self.nodes)
            .text(2, name)
            .messages(5, &self.constants)
            .messages(11, &self.inputs)
            .messages(12, &self.outputs);
        let entries: Vec<Message> = about
            .iter()
            .map(|(key, value)| Message::default().text(1, key).text(2, value))
            .collect();
        Message::default()
            .int(1, IR_VERSION)
            .text(2, "unclouded")
            .text(3, version)
            .message(7, &graph)
            .message(8, &Message::default().text(1, "").int(2, OPSET))
            .messages(14, &entries)
            .into_bytes()
    }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attribute]) -> Message {
    let attribute = |attribute: &Attribute| match attribute {
        // The last field is the attribute's type.
        Attribute::Float(name, v) => Message::default().text(1, name).float(2, *v).int(20, 1),
        Attribute::Int(name, v) => Message::default().text(1, name).int(3, *v).int(20, 2),
        Attribute::Text(name, v) => Message::default().text(1, name).text(4, v).int(20, 3),
        Attribute::Ints(name, v) => v
            .iter()
            .fold(Message::default().text(1, name), |m, v| m.int(8, *v))
            .int(20, 7),
    };
    let message = inputs
        .iter()
        .fold(Message::default(), |message, name| message.text(1, name));
    let message = outputs
        .iter()
        .fold(message, |message, name| message.text(2, name));
    let attributes: Vec<Message> = attributes.iter().map(attribute).collect();
    // The first output's name is the node's too: unique, and errors of a runtime name it.
    message
        .text(3, outputs[0])
        .text(4, op)
        .messages(5, &attributes)
}

fn value_info(name: &str, element: Element, shape: &[Size]) -> Message {
    let sizes = shape.iter().fold(Message::default(), |shape, size| {
        let size = match size {
            Size::Fixed(n) => Message::default().int(1, *n as i64),
            Size::Named(name) => Message::default().text(2, name),
        };
        shape.message(1, &size)
    });
    let tensor = Message::default().int(1, element as i64).message(2, &sizes);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}
