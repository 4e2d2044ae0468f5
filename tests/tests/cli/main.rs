//! End-to-end tests of the `unclouded` program: every promise of its command line, on small
//! synthetic scenes, in one test executable (one link, one program built beside it).

mod any_model;
mod bad_input;
mod batch;
mod convert;
mod encodings;
mod evaluate;
mod fixtures;
mod generate;
mod gpu;
mod interrupt;
mod malformed;
mod masks;
mod models;
mod progress;
mod reference;
mod reproducible;
mod restore;
mod resume;
mod run;
mod scene;
mod series;
mod storage;
mod tasks;
mod texture;
mod train;
