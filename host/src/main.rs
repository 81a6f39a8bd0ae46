//! The `rillgate` command.

/// Batches are allocated and freed by other threads, page by page: glibc gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(rillgate::cli::main() as i32);
}
