//! The `rillgate` command.

/// Batches are allocated and freed by other threads, page by page: glibc gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    keep_pages();
    std::process::exit(rillgate::cli::main() as i32);
}

/// librdkafka and zstd allocate with glibc's malloc. By default that gives the pages of large buffers back as soon as they are
/// free, to fault them in again at the next fetch.
fn keep_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it sets two numbers, before there is another thread. Where it refuses, the defaults hold.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}
