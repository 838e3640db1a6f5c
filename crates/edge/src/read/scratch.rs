//! One read buffer per thread, for all connections that the thread serves.
//!
//! Nothing survives in it: a connection sees only the bytes that its own read has just put there.

use std::cell::Cell;

/// What one read can bring. Large enough for the largest message in one piece.
const BUFFER: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the thread's buffer. Taken out meanwhile, so a call inside a call gets one of its own.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = SCRATCH.take().unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
    let result = use_it(&mut buffer);
    SCRATCH.set(Some(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_inside_a_call_has_its_own_buffer() {
        with(|outer| {
            outer[0] = 1;
            with(|inner| inner[0] = 2);
            assert_eq!(outer[0], 1);
        });
    }

    #[test]
    fn a_thread_keeps_its_buffer() {
        let first = with(|buffer| buffer.as_ptr() as usize);
        assert_eq!(with(|buffer| buffer.as_ptr() as usize), first);
    }
}
