//! Operators against their matrices, and every method against the known posterior of a
//! linear-Gaussian problem.

mod gaussian;
mod operators;
mod posterior;
