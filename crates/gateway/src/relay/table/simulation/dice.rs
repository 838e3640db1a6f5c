//! Chance, from a seed: splitmix64. The same on every machine and in every release.

#[derive(Debug)]
pub(in crate::relay::table) struct Dice(u64);

impl Dice {
    pub(in crate::relay::table) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in so many of a hundred cases.
    pub(in crate::relay::table) fn percent(&mut self, cases: u64) -> bool {
        self.next() % 100 < cases
    }

    /// `0 .. end`.
    pub(in crate::relay::table) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
