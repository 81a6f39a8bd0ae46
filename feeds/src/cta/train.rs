//! A train that goes up and down its line.

use super::stations::Line;
use crate::dice::Dice;

/// How likely it is that a train breaks down, in each step.
const BREAKS_DOWN: f64 = 0.005;
/// How likely it is that a train is taken out of service where its line ends.
const TAKEN_OUT: f64 = 0.05;
/// How likely it is that a train which stands goes on.
const GOES_ON: f64 = 0.25;

/// Towards the end of the line, where the order of stations grows, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    Back,
}

impl Direction {
    /// As the system calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Out => "a",
            Direction::Back => "b",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    InService,
    OutOfService,
    BrokenDown,
}

impl Status {
    /// As the system calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::InService => "in_service",
            Status::OutOfService => "out_of_service",
            Status::BrokenDown => "broken_down",
        }
    }
}

/// A train.
#[derive(Debug)]
pub(crate) struct Train {
    pub(crate) id: String,
    /// The station that it stands at, counted along its line.
    pub(crate) at: usize,
    pub(crate) direction: Direction,
    pub(crate) status: Status,
    /// The station before, and the direction in which it left that.
    pub(crate) before: Option<(usize, Direction)>,
    /// Whether it has begun: its first arrival is where it stands.
    begun: bool,
}

impl Train {
    /// Train `number` of so many, which are spread along a line of so many stations, half of them each way.
    pub(crate) fn new(line: Line, number: usize, of: usize, stations: usize) -> Self {
        let letter = match line {
            Line::Red => 'R',
            Line::Blue => 'B',
            Line::Green => 'G',
            Line::Unknown => 'U',
        };
        Train {
            id: format!("{letter}L{number:03}"),
            at: number * stations / of,
            direction: if number.is_multiple_of(2) { Direction::Out } else { Direction::Back },
            status: Status::InService,
            before: None,
            begun: false,
        }
    }

    /// One step on a line of so many stations; whether there is anything to tell: it has arrived somewhere, or stopped.
    pub(crate) fn step(&mut self, stations: usize, dice: &mut Dice) -> bool {
        if !self.begun {
            self.begun = true;
            return true;
        }
        let ends = match self.direction {
            Direction::Out => self.at + 1 >= stations,
            Direction::Back => self.at == 0,
        };
        match self.status {
            Status::InService if dice.chance(BREAKS_DOWN) => self.status = Status::BrokenDown,
            Status::InService if ends && dice.chance(TAKEN_OUT) => self.status = Status::OutOfService,
            Status::InService => self.go_on(ends),
            Status::OutOfService | Status::BrokenDown if dice.chance(GOES_ON) => {
                self.status = Status::InService;
                self.go_on(ends);
            }
            Status::OutOfService | Status::BrokenDown => return false,
        }
        true
    }

    fn go_on(&mut self, ends: bool) {
        self.before = Some((self.at, self.direction));
        self.direction = match (self.direction, ends) {
            (Direction::Out, false) | (Direction::Back, true) => Direction::Out,
            (Direction::Out, true) | (Direction::Back, false) => Direction::Back,
        };
        match self.direction {
            Direction::Out => self.at += 1,
            Direction::Back => self.at -= 1,
        }
    }
}
