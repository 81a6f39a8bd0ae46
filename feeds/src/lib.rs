//! Seeded simulators.
