//! Random numbers that are the same on every machine and after every update.
//!
//! The generator is ChaCha12, whose values are fixed. Real numbers are rounded to thousandths: the logarithms inside
//! some distributions may differ between machines in the last bit, and a thousandth is no less true to life.

use std::ops::RangeInclusive;

use chacha20::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, Poisson};
use uuid::Uuid;

/// A source of random numbers.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha12Rng);

impl Dice {
    /// Streams of one seed have nothing to do with one another, so who draws more leaves the others' numbers alone.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Dice(rng)
    }

    /// True with this probability, 0 to 1.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    /// One of them, each as likely as the others.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        choices[self.0.random_range(0..N as u32) as usize]
    }

    /// A whole number, each as likely as the others.
    pub(crate) fn whole(&mut self, range: RangeInclusive<i64>) -> i64 {
        self.0.random_range(range)
    }

    /// A real number, uniform, to thousandths.
    pub(crate) fn real(&mut self, range: RangeInclusive<f64>) -> f64 {
        thousandths(self.0.random_range(range))
    }

    /// A real number between -`most` and `most`, uniform, in full precision: no logarithm is involved.
    pub(crate) fn noise(&mut self, most: f64) -> f64 {
        self.0.random_range(-most..=most)
    }

    /// Exponential with this mean, to thousandths.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        let unit: f64 = Exp1.sample(&mut self.0);
        thousandths(mean * unit)
    }

    /// Poisson with this mean; 0 where the mean is 0.
    pub(crate) fn poisson(&mut self, mean: f64) -> i64 {
        match Poisson::new(mean) {
            Ok(poisson) => poisson.sample(&mut self.0) as i64,
            // The distribution is defined for positive means only, and its limit at 0 is 0.
            Err(_) => 0,
        }
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// So many random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut draw: impl FnMut() -> f64) -> f64 {
        (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0
    }

    #[test]
    fn the_generator_gives_the_values_it_always_gave() {
        assert_eq!(Dice::new(42, 0).uuid().to_string(), "a2242722-6377-4c86-bd51-ad3f130af08a");
        assert_eq!(Dice::new(42, 1).uuid().to_string(), "61ec4fde-b47b-4c48-8124-aa1f72b71677");
    }

    #[test]
    fn distributions_have_their_means() {
        let mut dice = Dice::new(1, 0);
        for wanted in [0.5, 5.0, 18.0, 60.0] {
            let exponential = mean(|| dice.exponential(wanted));
            assert!((exponential / wanted - 1.0).abs() < 0.05, "exponential {wanted}: {exponential}");
            let poisson = mean(|| dice.poisson(wanted) as f64);
            assert!((poisson / wanted - 1.0).abs() < 0.05, "poisson {wanted}: {poisson}");
        }
        let uniform = mean(|| dice.real(1.0..=3.0));
        assert!((uniform - 2.0).abs() < 0.05, "{uniform}");
        let share = mean(|| f64::from(u8::from(dice.chance(0.05))));
        assert!((share - 0.05).abs() < 0.01, "{share}");
    }

    #[test]
    fn nobody_comes_where_nobody_is_expected() {
        assert_eq!(Dice::new(1, 0).poisson(0.0), 0);
    }

    #[test]
    fn picks_and_whole_numbers_reach_both_ends() {
        let mut dice = Dice::new(1, 0);
        let drawn: Vec<i64> = (0..1000).map(|_| dice.whole(4..=10)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&4), Some(&10)));
        let picked: String = (0..100).map(|_| dice.pick(&['a', 'b', 'c'])).collect();
        assert!(['a', 'b', 'c'].iter().all(|letter| picked.contains(*letter)), "{picked}");
    }
}
