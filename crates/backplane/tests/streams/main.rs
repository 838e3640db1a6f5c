//! Streams of stores on a real server: they are made, kept as the configuration says, and whoever finds another history
//! in them is told by another epoch.

#![allow(clippy::print_stdout)] // Figures and seeds.

#[path = "../world/mod.rs"]
mod world;

mod cluster;
mod faults;
mod life;
mod settings;
mod site;
mod split;
