//! The allocator, which gives back to the system what a storm made it take.

/// What a program that runs nodes allocates by: declare it as the `#[global_allocator]`.
///
/// It is built without transparent huge pages: with them a page of 2 MiB stays resident for one small thing on it.
pub use mimalloc::MiMalloc as Allocator;

/// Gives back what this thread has freed; without it what a quiet thread has freed stays with it until it allocates again.
#[allow(unsafe_code, reason = "the allocator's own interface")]
pub(crate) fn give_back() {
    // SAFETY: `mi_collect` may be called by any thread at any time, whether or not this allocator is the global one; it
    // moves nothing and frees only what is free.
    unsafe { libmimalloc_sys::mi_collect(false) }
}
