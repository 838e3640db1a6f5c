//! Property tests that say their seed: `PROPTEST_RNG_SEED=N` in the environment repeats a run.

use std::hash::{BuildHasher, RandomState};

use proptest::test_runner::{Config, RngSeed};

/// A configuration with a seed of its own, which is printed (and shown where the test fails).
#[allow(clippy::print_stdout)]
pub(crate) fn seeded(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    config.cases = config.cases.max(cases);
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one("seed"),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    println!("PROPTEST_RNG_SEED={seed}");
    config
}
