//! An allocator that counts, so that a length that was believed before it was checked is found although
//! its memory is never touched.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; it hands everything on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::process::abort;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

fn grown(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    // A panic may take what it needs to say where it was.
    if live > LIMIT.load(Relaxed) && !std::thread::panicking() {
        too_much(live, bytes);
    }
}

/// Ends the program where the memory is taken. An allocator must not unwind.
#[cold]
fn too_much(live: usize, bytes: usize) {
    let limit = LIMIT.swap(usize::MAX, Relaxed);
    let above = live.saturating_sub(limit);
    eprintln!("{bytes} bytes of memory are {above} more than may be taken:\n{}", Backtrace::force_capture());
    abort();
}

fn shrunk(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        shrunk(if moved.is_null() { size } else { layout.size() });
        moved
    }
}

/// Runs something that must not have more than `most` bytes at any one time. Where it has more, the
/// program ends: that is what is looked for.
pub fn bounded<T>(most: usize, run: impl FnOnce() -> T) -> T {
    LIMIT.store(LIVE.load(Relaxed).saturating_add(most), Relaxed);
    let result = run();
    LIMIT.store(usize::MAX, Relaxed);
    result
}
