//! `rillgate` with the railway's plugin built in: all of the command, but that the plugin's code is called directly.
//!
//! For the reference job beside the product. Says at its end how many rows came that way.

mod transform;

use std::sync::atomic::Ordering;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    rillgate::plugin::native::stand_in(transform::open);
    let exit = rillgate::cli::main();
    eprintln!("{} rows natively", transform::ROWS.load(Ordering::Relaxed));
    std::process::exit(exit as i32);
}
